// SPDX-License-Identifier: GPL-3.0-or-later
// A host that takes connections of some shards only: those it turns away lend their jobs to the
// others in turn.
#include "../../src/queue/retry.h"
#include "station.h"

namespace ringmta::queue {
namespace {

using Kind = Outcome::Kind;

// Four shards with connections of their own to one site; this one's are refused.
struct Crowded : ::testing::Test {
  Crowded() {
    options.routes[0].connections_max = 8;
    station = std::make_unique<Station>(options, 4, ShardId{1});
    station->peer = nullptr;
    for (int i = 0; i < 100; ++i) {
      station->submit_to({"r" + std::to_string(i) + "@example.org"});
    }
    station->run_for(seconds(1));
  }
  void refuse(Milliseconds wait = minutes(1)) {
    station->queue->site_failed({0}, "421 too many connections", station->io->now() + wait,
                                {4, 4, 1}, true);
    station->run_for(seconds(1));
  }
  // The next one that was lent; the shards it went to are noted.
  Job* take_lent() {
    if (station->lent.empty()) return nullptr;
    const auto [to, job] = station->lent.front();
    station->lent.erase(station->lent.begin());
    asked.push_back(to.value);
    return job;
  }
  void fail(Job& job) {
    judge_all(job, Verdict::deferred, 0, "421 too many connections", smtp::Phase::connect);
    job.site_failed_until = station->io->now() + minutes(3);
    station->queue->job_done(&job);
    station->run_for(seconds(1));
  }
  void succeed(Job& job) {
    station->touch(job);
    deliver(job);
    station->queue->job_done(&job);
    station->run_for(seconds(1));
  }
  QueueOptions options = plain_options();
  std::unique_ptr<Station> station;
  std::vector<int> asked;
};

TEST_F(Crowded, OneJobAsksTheOthersInTurnAndThenTheSiteIsHeld) {
  refuse();
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(station->lent.size(), 1U);
    EXPECT_FALSE(station->queue->has_work({0}));
    fail(*take_lent());
  }
  EXPECT_TRUE(station->lent.empty());
  EXPECT_EQ(std::set<int>(asked.begin(), asked.end()), (std::set<int>{0, 2, 3}));
  EXPECT_EQ(asked.size(), 3U);
  EXPECT_EQ(station->queue->counters().deferrals, 0U);
  EXPECT_FALSE(station->queue->has_work({0}));
  station->run_for(minutes(1));
  EXPECT_TRUE(station->queue->has_work({0}));  // our own connections are tried again
  EXPECT_EQ(station->take()->attempt, 1);
}

TEST_F(Crowded, WhoDeliversGetsTheRest) {
  refuse();
  fail(*take_lent());
  asked.clear();
  while (Job* job = take_lent()) succeed(*job);
  EXPECT_EQ(station->count(Kind::delivered), 100U);
  EXPECT_EQ(std::set<int>(asked.begin(), asked.end()).size(), 1U);
}

TEST_F(Crowded, OurOwnConnectionsAreTriedAgainAfterAWhile) {
  refuse();
  Job* first = take_lent();
  station->run_for(minutes(9));
  EXPECT_FALSE(station->queue->has_work({0}));
  station->run_for(minutes(2));
  succeed(*first);
  EXPECT_TRUE(station->queue->has_work({0}));
  EXPECT_TRUE(station->lent.empty());
  refuse();
  EXPECT_EQ(station->lent.size(), 1U);
}

TEST_F(Crowded, OrWhenOneOfThemWorks) {
  refuse();
  station->queue->site_recovered({0});
  EXPECT_TRUE(station->queue->has_work({0}));
}

// A failure that comes back when somebody else is being asked, or nobody, says nothing.
TEST_F(Crowded, LateFailuresChangeNothing) {
  refuse();
  succeed(*take_lent());
  std::vector<Job*> out;
  while (Job* job = take_lent()) out.push_back(job);
  ASSERT_GE(out.size(), 2U);
  for (Job* job : out) fail(*job);
  ASSERT_EQ(station->lent.size(), 1U);
  Job* probe = take_lent();
  ASSERT_NE(probe, nullptr);
  EXPECT_NE(asked.back(), asked.front());
  station->queue->site_recovered({0});
  fail(*probe);
  EXPECT_TRUE(station->queue->has_work({0}));
}

TEST_F(Crowded, AHostThatIsGoneIsHeld) {
  station->queue->site_failed({0}, "connection refused", station->io->now() + minutes(1));
  station->run_for(seconds(1));
  EXPECT_TRUE(station->lent.empty());
}

// Where one shard has all connections, the others must not open any.
TEST(CrowdedHome, AsksNobody) {
  QueueOptions options = plain_options();
  options.routes[0].connections_max = 3;
  Station station(options, 4, home_of("smart", 4));
  station.peer = nullptr;
  station.submit_to({"bob@example.org"});
  station.run_for(seconds(1));
  station.queue->site_failed({0}, "421 too many connections", station.io->now() + minutes(1),
                             {4, 4, 1}, true);
  station.run_for(seconds(1));
  EXPECT_TRUE(station.lent.empty());
  EXPECT_FALSE(station.queue->has_work({0}));
}

}  // namespace
}  // namespace ringmta::queue
