// SPDX-License-Identifier: GPL-3.0-or-later
// Jobs lent by other shards, and the end of a shard's work.
#include "relay.h"

namespace ringmta::client {
namespace {

constexpr ShardId kOther{3};

using Lending = Relay;

TEST_F(Lending, GivesALentJobBackWhenItIsDelivered) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 1);
  pools().lent(queue().make_lent(site, mail("lent"), kOther));
  ASSERT_TRUE(run([&] { return shard->returned.size() == 1; }));
  EXPECT_EQ(shard->returned[0]->recipients[0].verdict, Verdict::delivered);
  EXPECT_EQ(shard->returned[0]->keeper, kOther);
  EXPECT_TRUE(queue().results.empty());
}

TEST_F(Lending, TakesLentAndOwnJobsInTurn) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 1);
  for (int i = 0; i < 50; ++i) {
    queue().add(site, mail("own"));
    pools().lent(queue().make_lent(site, mail("lent"), kOther));
  }
  ASSERT_TRUE(run([&] { return shard->returned.size() >= 25; }));
  EXPECT_GE(queue().results.size(), 22U);
  EXPECT_LE(queue().results.size(), 28U);
  ASSERT_TRUE(run([&] { return shard->returned.size() + queue().results.size() == 100; }));
}

TEST_F(Lending, ReturnsLentJobsWhenTheSiteCannotBeReached) {
  world.refuse(*parse_socket_address("192.0.2.1:25", 25), true);
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 1);
  for (int i = 0; i < 5; ++i) pools().lent(queue().make_lent(site, mail("lent"), kOther));
  ASSERT_TRUE(run([&] { return shard->returned.size() == 5; }));
  for (const queue::Job* job : shard->returned) {
    EXPECT_EQ(job->recipients[0].verdict, Verdict::deferred);
    EXPECT_EQ(job->recipients[0].phase, smtp::Phase::connect);
    EXPECT_EQ(job->recipients[0].text, "192.0.2.1:25: Connection refused");
    EXPECT_GT(job->site_failed_until, world.now());
    EXPECT_EQ(job->peer.length, 0U);
  }
  // The next one is spared the attempt.
  pools().lent(queue().make_lent(site, mail("lent"), kOther));
  ASSERT_TRUE(run([&] { return shard->returned.size() == 6; }));
  EXPECT_EQ(pools().counters().connect_failures, 1U);
}

TEST_F(Lending, DoesNotKeepALentJobForEver) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  peer.script.delay = seconds(50);
  options.lent_wait_max = seconds(60);
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 1);
  queue().add(site, mail("own"));
  world.run_for(seconds(1));
  for (int i = 0; i < 3; ++i) pools().lent(queue().make_lent(site, mail("lent"), kOther));
  const Monotonic begun = world.now();
  ASSERT_TRUE(run([&] { return shard->returned.size() >= 2; }));
  EXPECT_LE((world.now() - begun).count, 61'000);
  EXPECT_EQ(shard->returned[0]->recipients[0].verdict, Verdict::retry_now);
}

TEST_F(Lending, ReturnsALentJobThatExpiresWhileItWaits) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  peer.script.delay = seconds(50);
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 1);
  queue().add(site, mail("own"));
  world.run_for(seconds(1));
  pools().lent(queue().make_lent(site, mail("waits"), kOther));
  queue::Job* late = queue().make_lent(site, mail("late"), kOther);
  late->expires = world.now() + seconds(5);
  pools().lent(late);
  shard->io->ring_doorbell();
  const Monotonic begun = world.now();
  ASSERT_TRUE(run([&] { return shard->returned.size() == 1; }));
  EXPECT_EQ(shard->returned[0], late);
  EXPECT_EQ(late->recipients[0].verdict, Verdict::retry_now);
  EXPECT_EQ(late->begun.ns, 0);
  EXPECT_LE((world.now() - begun).count, 5100);
}

TEST_F(Lending, KnowsASiteWhileItIsInUseOrFailed) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  options.host_retry_after = seconds(30);
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 1);
  EXPECT_FALSE(pools().knows(site));
  queue().add(site, mail("own"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_TRUE(pools().knows(site));  // its connection is idle
  world.run_for(seconds(11));
  EXPECT_FALSE(pools().knows(site));
  world.refuse(*parse_socket_address("192.0.2.1:25", 25), true);
  queue().add(site, mail("own"));
  ASSERT_TRUE(run([&] { return !queue().news.empty(); }));
  queue().drop(site);
  world.run_for(seconds(40));
  EXPECT_TRUE(pools().knows(site));  // a second failure would wait longer
  world.run_for(seconds(40));
  EXPECT_FALSE(pools().knows(site));
}

// ---- the end

struct Stopping : Relay {
  queue::SiteId site;
  void begin(ScriptedPeer& peer, int mails) {
    (void)peer;
    start();
    site = queue().add_site({"192.0.2.1:25"}, 4);
    for (int i = 0; i < mails; ++i) queue().add(site, mail("m"));
  }
};

TEST_F(Stopping, FinishesWhatIsInFlightAndSaysGoodbye) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  peer.script.delay = seconds(1);
  begin(peer, 100);
  ASSERT_TRUE(run_until_results(10));
  pools().stop();
  const uint32_t in_flight = queue().jobs_out;
  const size_t before = queue().results.size();
  EXPECT_GT(in_flight, 0U);
  ASSERT_TRUE(run([&] { return pools().idle(); }));
  EXPECT_EQ(queue().results.size(), before + in_flight);
  EXPECT_EQ(queue().count(Verdict::delivered), before + in_flight);
  EXPECT_EQ(peer.quits, peer.connections);
  EXPECT_EQ(peer.open, 0U);
}

TEST_F(Stopping, BeginsNothing) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  begin(peer, 0);
  pools().stop();
  queue().add(site, mail("late"));
  pools().lent(queue().make_lent(site, mail("lent"), kOther));
  world.run_for(seconds(10));
  EXPECT_EQ(peer.connections, 0U);
  EXPECT_TRUE(queue().results.empty());
  ASSERT_EQ(shard->returned.size(), 1U);
  EXPECT_EQ(shard->returned[0]->recipients[0].verdict, Verdict::retry_now);
  EXPECT_TRUE(pools().idle());
}

TEST_F(Stopping, GivesUpConnectionsThatAreNotThereYet) {
  world.make_unreachable(*parse_socket_address("192.0.2.1:25", 25), true);
  ScriptedPeer peer(world, "192.0.2.1:25");
  begin(peer, 1);
  world.run_for(seconds(1));
  EXPECT_EQ(pools().counters().connecting, 1U);
  pools().stop();
  EXPECT_TRUE(run([&] { return pools().idle(); }, seconds(1)));
  EXPECT_EQ(queue().jobs_out, 0U);
}

TEST_F(Stopping, AbortJudgesWhatIsInFlight) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  peer.script.answer = [](uint32_t, std::string_view line) -> std::optional<std::string> {
    if (line.empty()) return "!deaf";
    return {};
  };
  begin(peer, 10);
  ASSERT_TRUE(run([&] { return peer.mails.size() == 4; }));
  pools().abort();
  ASSERT_TRUE(run([&] { return pools().idle(); }, seconds(5)));
  EXPECT_GE(queue().results.size(), 4U);
  EXPECT_EQ(queue().jobs_out, 0U);
  uint32_t duplicates = 0;
  for (const Result& result : queue().results) {
    EXPECT_EQ(result.verdict, Verdict::deferred);
    duplicates += result.possible_duplicate ? 1 : 0;
  }
  EXPECT_EQ(duplicates, 4U);
}

}  // namespace
}  // namespace ringmta::client
