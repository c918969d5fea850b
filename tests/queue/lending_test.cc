// SPDX-License-Identifier: GPL-3.0-or-later
// Sites whose connections are on another shard: jobs are lent, a bounded number at a time.
#include <memory>

#include "../../src/queue/retry.h"
#include "station.h"

namespace ringmta::queue {
namespace {

using Kind = Outcome::Kind;

TEST(Lending, SharesAddUpToTheLimit) {
  for (const uint32_t shards : {1U, 2U, 3U, 8U, 64U, 256U}) {
    for (const uint32_t limit : {1U, 2U, 7U, 8U, 9U, 100U, 1000U}) {
      const ShardId home = home_of("mx.example.net", shards);
      ASSERT_LT(home.value, shards);
      uint32_t sum = 0;
      for (uint16_t shard = 0; shard < shards; ++shard)
        sum += local_share(limit, home, {shard}, shards);
      EXPECT_EQ(sum, limit);
    }
  }
}

TEST(Lending, HomesSpreadEvenlyAndMoveLittle) {
  constexpr uint32_t kSites = 8000;
  std::vector<uint32_t> count(8);
  uint32_t moved = 0;
  for (uint32_t i = 0; i < kSites; ++i) {
    const std::string site = "mx" + std::to_string(i) + ".example.net";
    const ShardId home = home_of(site, 8);
    ++count[home.value];
    if (home_of(site, 9) != home) ++moved;
  }
  for (const uint32_t each : count) EXPECT_NEAR(each, kSites / 8, kSites / 40);
  EXPECT_NEAR(moved, kSites / 9, kSites / 60);
}

// Four shards, a site with three connections: one shard has them all.
struct LendingTest : ::testing::Test {
  LendingTest() {
    options.routes[0].connections_max = 3;
    home = home_of(options.routes[0].name, 4);
    away = {static_cast<uint16_t>((home.value + 1) % 4)};
    keeper = std::make_unique<Station>(options, 4, away);
    keeper->peer = nullptr;
  }
  void submit(int count) {
    for (int i = 0; i < count; ++i) keeper->submit_to({"r" + std::to_string(i) + "@example.org"});
    keeper->run_for(seconds(1));
  }
  Job* take_lent() {
    if (keeper->lent.empty()) return nullptr;
    EXPECT_EQ(keeper->lent.front().first, home);
    Job* job = keeper->lent.front().second;
    keeper->lent.erase(keeper->lent.begin());
    return job;
  }
  QueueOptions options = plain_options();
  ShardId home{}, away{};
  std::unique_ptr<Station> keeper;
};

TEST_F(LendingTest, AtMostSoManyAreOut) {
  submit(100);
  EXPECT_EQ(keeper->lent.size(), kHandoffMax);
  EXPECT_FALSE(keeper->queue->has_work({0}));  // no connections here
  EXPECT_EQ(keeper->take(), nullptr);
  for (int i = 0; i < 5; ++i) {
    Job* job = take_lent();
    keeper->touch(*job);
    deliver(*job);
    keeper->queue->job_done(job);
  }
  keeper->run_for(seconds(1));
  EXPECT_EQ(keeper->lent.size(), kHandoffMax);
  EXPECT_EQ(keeper->count(Kind::delivered), 5U);
}

TEST_F(LendingTest, AllAreDeliveredInTheEnd) {
  submit(100);
  size_t out_most = 0;
  while (Job* job = take_lent()) {
    out_most = std::max(out_most, keeper->lent.size() + 1);
    keeper->touch(*job);
    deliver(*job);
    keeper->queue->job_done(job);
    keeper->run_for(Milliseconds{10});
  }
  EXPECT_EQ(keeper->count(Kind::delivered), 100U);
  EXPECT_EQ(out_most, kHandoffMax);
  EXPECT_TRUE(keeper->disk.messages.empty());
}

TEST_F(LendingTest, TheHomeHasThemAll) {
  Station there(options, 4, home, keeper.get());
  EXPECT_EQ(there.queue->site({0}).local_share, 3U);
  EXPECT_EQ(keeper->queue->site({0}).local_share, 0U);
  there.submit_to({"bob@example.org"});
  there.run_for(seconds(1));
  EXPECT_TRUE(there.lent.empty());
  EXPECT_EQ(there.count(Kind::delivered), 1U);
}

TEST_F(LendingTest, TheBorrowersSiteIsItsOwn) {
  submit(1);
  Station there(options, 4, home, keeper.get());
  Job* job = take_lent();
  ASSERT_NE(job, nullptr);
  there.queue->borrow(job);
  EXPECT_EQ(there.queue->site(job->site).name, "smart");
  deliver(*job);
  keeper->queue->job_done(job);
}

TEST_F(LendingTest, AFailureOnTheOtherShardHoldsTheSiteHere) {
  submit(100);
  const Monotonic until = keeper->io->now() + minutes(5);
  while (Job* job = take_lent()) {
    judge_all(*job, Verdict::deferred, 0, "connection refused", smtp::Phase::connect);
    job->begun = {};
    job->site_failed_until = until;
    keeper->queue->job_done(job);
  }
  keeper->run_for(minutes(4));
  EXPECT_TRUE(keeper->lent.empty());
  EXPECT_EQ(keeper->count(Kind::deferred), 0U);  // nothing was tried
  keeper->run_for(minutes(2));
  ASSERT_EQ(keeper->lent.size(), 1U);  // the probe
  Job* probe = take_lent();
  EXPECT_EQ(probe->attempt, 1);
  keeper->touch(*probe);
  deliver(*probe);
  keeper->queue->job_done(probe);
  keeper->run_for(seconds(1));
  EXPECT_EQ(keeper->lent.size(), 3U);
}

TEST_F(LendingTest, ExpiresWhileItWaitsToBeLent) {
  Mail mail;
  mail.to = {{"bob@example.org"}};
  mail.lifetime = hours(1);
  submit(static_cast<int>(kHandoffMax));
  keeper->submit(mail);
  keeper->run_for(hours(1) + seconds(1));
  EXPECT_EQ(keeper->addresses_of(Kind::expired), std::vector<std::string>{"bob@example.org"});
}

TEST_F(LendingTest, GivenBackUnbegunItGoesAgainWithoutPenalty) {
  submit(1);
  for (int i = 0; i < 30; ++i) {
    Job* job = take_lent();
    ASSERT_NE(job, nullptr);
    EXPECT_EQ(job->attempt, 1);
    job->begun = {};
    judge_all(*job, Verdict::retry_now, 0, "no connection was free", smtp::Phase::connect);
    keeper->queue->job_done(job);
    keeper->run_for(seconds(60));
  }
  EXPECT_EQ(keeper->count(Kind::deferred), 0U);
}

}  // namespace
}  // namespace ringmta::queue
