// SPDX-License-Identifier: GPL-3.0-or-later
// A dead site holds its whole queue, one probe finds out, recovery ramps up.
#include "station.h"

namespace ringmta::queue {
namespace {

using Kind = Outcome::Kind;

struct Unreachable : ::testing::Test {
  Unreachable() {
    station.peer = nullptr;
    for (int i = 0; i < 1000; ++i) station.submit_to({"r" + std::to_string(i) + "@example.org"});
    station.run_for(seconds(1));
  }
  Station station;
  const SiteId site{0};
};

TEST_F(Unreachable, HoldsEverythingUntilThen) {
  EXPECT_EQ(station.queue->work(site), 1000U);
  station.queue->site_failed(site, "connection refused", station.io->now() + minutes(5));
  EXPECT_FALSE(station.queue->has_work(site));
  EXPECT_EQ(station.take(), nullptr);
  station.sites_with_work.clear();
  station.run_for(minutes(4));
  EXPECT_TRUE(station.sites_with_work.empty());
  EXPECT_EQ(station.count(Kind::deferred), 0U);
  EXPECT_EQ(station.queue->counters().ready, 1000U);
}

TEST_F(Unreachable, EachHoldIsTold) {
  const WallTime then = station.world.wall() + minutes(5);
  station.queue->site_failed(site, "connection refused", station.io->now() + minutes(5), {4, 4, 1});
  ASSERT_EQ(station.told_held.size(), 1U);
  const ToldHeld& told = station.told_held[0];
  EXPECT_EQ(told.site, station.queue->site(site).name);
  EXPECT_EQ(told.domain, "");
  EXPECT_EQ(told.waiting, 1000U);
  EXPECT_EQ(told.text, "connection refused");
  EXPECT_EQ(told.status, (smtp::EnhancedStatus{4, 4, 1}));
  EXPECT_NEAR(told.next_attempt.ms, then.ms, 1000);
  station.run_for(minutes(6));
  EXPECT_EQ(station.told_held.size(), 1U);
  station.queue->site_failed(site, "still refused", station.io->now() + minutes(5));
  ASSERT_EQ(station.told_held.size(), 2U);
  EXPECT_EQ(station.told_held[1].text, "still refused");
}

TEST_F(Unreachable, ThenOneProbes) {
  station.queue->site_failed(site, "connection refused", station.io->now() + minutes(5));
  station.sites_with_work.clear();
  station.run_for(minutes(5) + seconds(1));
  EXPECT_EQ(station.sites_with_work.size(), 1U);
  EXPECT_EQ(station.queue->work(site), 1U);
  EXPECT_NE(station.take(), nullptr);
  EXPECT_EQ(station.take(), nullptr);
}

TEST_F(Unreachable, NoAttemptCountsAgainstWhatWasHeld) {
  for (int i = 0; i < 10; ++i) {
    station.queue->site_failed(site, "connection refused", station.io->now() + minutes(5));
    station.run_for(minutes(6));
  }
  Job* job = station.take();
  ASSERT_NE(job, nullptr);
  EXPECT_EQ(job->attempt, 1);
}

// After a success, twice as many per round trip.
TEST_F(Unreachable, RecoveryRampsUp) {
  station.queue->site_failed(site, "connection refused", station.io->now() + minutes(5));
  station.run_for(minutes(5) + seconds(1));
  std::vector<size_t> rounds;
  for (int round = 0; round < 7; ++round) {
    std::vector<Job*> out;
    while (Job* job = station.take()) out.push_back(job);
    rounds.push_back(out.size());
    for (Job* job : out) {
      deliver(*job);
      station.queue->job_done(job);
    }
  }
  EXPECT_EQ(rounds, (std::vector<size_t>{1, 3, 6, 12, 24, 48, 96}));
  station.peer = deliver;
  station.sites_with_work.insert(0);
  station.run_for(seconds(1));
  EXPECT_EQ(station.count(Kind::delivered), 1000U);
}

TEST_F(Unreachable, AProbeAnsweredBy421OpensNothing) {
  station.queue->site_failed(site, "connection refused", station.io->now() + minutes(5));
  station.run_for(minutes(5) + seconds(1));
  Job* job = station.take();
  ASSERT_NE(job, nullptr);
  judge_all(*job, Verdict::deferred, 421, "4.3.2 overloaded", smtp::Phase::mail);
  station.queue->job_done(job);
  EXPECT_EQ(station.queue->work(site), 1U);
}

// Its host was there; it lacks what that one message needs.
TEST_F(Unreachable, AProbeThatWeKeptBackOpensTheSite) {
  station.queue->site_failed(site, "connection refused", station.io->now() + minutes(5));
  station.run_for(minutes(5) + seconds(1));
  Job* job = station.take();
  ASSERT_NE(job, nullptr);
  judge_all(*job, Verdict::refused, 0, "it does not offer 8BITMIME", smtp::Phase::ehlo);
  station.queue->job_done(job);
  EXPECT_GT(station.queue->work(site), 1U);
}

TEST_F(Unreachable, SuccessOnAnOldConnectionEndsTheHold) {
  Job* job = station.take();
  station.queue->site_failed(site, "connection refused", station.io->now() + minutes(5));
  EXPECT_FALSE(station.queue->has_work(site));
  deliver(*job);
  station.queue->job_done(job);
  EXPECT_TRUE(station.queue->has_work(site));
  EXPECT_LE(station.queue->work(site), 3U);
}

TEST_F(Unreachable, NewAddressesDeserveAProbe) {
  station.queue->site_failed(site, "connection refused", station.io->now() + hours(5));
  station.queue->set_route_addresses(0, {host_at("192.0.2.99:25")});
  EXPECT_EQ(station.queue->work(site), 1U);
}

// A name server that gives its addresses in turn, or leaves one out, brings no news.
TEST_F(Unreachable, TheSameAddressesInAnotherOrderDoNot) {
  station.queue->set_route_addresses(0, {host_at("192.0.2.1:25"), host_at("192.0.2.2:25")});
  station.queue->site_failed(site, "connection refused", station.io->now() + hours(5));
  station.queue->set_route_addresses(0, {host_at("192.0.2.2:25"), host_at("192.0.2.1:25")});
  EXPECT_EQ(station.queue->work(site), 0U);
  station.queue->set_route_addresses(0, {host_at("192.0.2.2:25")});
  EXPECT_EQ(station.queue->work(site), 0U);
  station.queue->set_route_addresses(0, {host_at("192.0.2.2:25"), host_at("192.0.2.3:25")});
  EXPECT_EQ(station.queue->work(site), 1U);
}

// Who refuses in his greeting is quoted, as having refused the connection.
TEST(UnreachableSites, TellWhatTheHostSaid) {
  Station station;
  station.queue->site_failed({0},
                             {.text = "5.7.1 go away",
                              .status = {5, 7, 1},
                              .code = 554,
                              .phase = smtp::Phase::greeting,
                              .host = "mx.example.org:25"},
                             station.io->now() + hours(50));
  ASSERT_EQ(station.told_held.size(), 1U);
  EXPECT_EQ(station.told_held[0].code, 554);
  EXPECT_EQ(station.told_held[0].peer_name, "mx.example.org:25");
  Mail mail;
  mail.to = {{"bob@example.org", smtp::Notify::kDelay | smtp::Notify::kFailure}};
  mail.lifetime = hours(5);
  station.submit(mail);
  station.run_for(minutes(1));
  EXPECT_EQ(station.queue->list({}, 0, 1).entries.at(0).last_reply, "554 5.7.1 go away");
  station.run_for(hours(6));
  ASSERT_EQ(station.notices.size(), 2U);  // delayed, failed
  for (const std::string& dsn : station.notices) {
    for (const char* words :
         {"    mx.example.org refused the connection: 554 5.7.1 go away\r\n",
          "Remote-MTA: dns; mx.example.org\r\n", "Diagnostic-Code: smtp; 554 5.7.1 go away\r\n"})
      EXPECT_NE(dsn.find(words), std::string::npos) << words << dsn;
  }
  EXPECT_NE(station.notices[0].find("Status: 4.7.1\r\n"), std::string::npos);
  EXPECT_NE(station.notices[1].find("Status: 5.7.1\r\n"), std::string::npos);
  const Told& expired = station.last(Kind::expired);
  EXPECT_EQ(expired.code, 554);
  EXPECT_EQ(expired.reply, "5.7.1 go away");
  EXPECT_EQ(expired.attempts, 0);
}

TEST(UnreachableSites, DelayNoOther) {
  QueueOptions options = plain_options();
  options.routes = {route_to("dead", {"dead.example"}), route_to("alive", {"*"})};
  Station two(options);
  two.queue->site_failed({0}, "connection refused", two.io->now() + hours(5));
  for (int i = 0; i < 100; ++i) {
    two.submit_to({"a@dead.example"});
    two.submit_to({"b@alive.example"});
    two.submit_to({"a@dead.example", "b@alive.example"});
  }
  two.run_for(seconds(1));
  EXPECT_EQ(two.count(Kind::delivered), 200U);
}

}  // namespace
}  // namespace ringmta::queue
