// SPDX-License-Identifier: GPL-3.0-or-later
// How many connections there are, how long they live, who gets one when there is no room.
#include "relay.h"

namespace ringmta::client {
namespace {

using Answer = std::optional<std::string>;

struct Limits : Relay {
  // What one connection's end and the next one's beginning take is the same, as on one path.
  Limits() { world.network().latency_us_min = world.network().latency_us_max = 100; }
  void add(queue::SiteId site, int count) {
    for (int i = 0; i < count; ++i) queue().add(site, mail("m"));
  }
};

TEST_F(Limits, NeverMoreConnectionsThanTheSiteMayHave) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  peer.script.delay = Milliseconds{100};
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 7);
  add(site, 500);
  ASSERT_TRUE(run_until_results(500));
  EXPECT_EQ(peer.open_max, 7U);  // a slow peer gets all it may
  EXPECT_EQ(queue().count(Verdict::delivered), 500U);
}

TEST_F(Limits, AlsoWithOneMessagePerConnection) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 5);
  queue().site(site).messages_per_connection_max = 1;
  add(site, 200);
  ASSERT_TRUE(run_until_results(200));
  EXPECT_LE(peer.open_max, 5U);
  EXPECT_GE(peer.open_max, 4U);
  EXPECT_GE(peer.connections, 200U);
  EXPECT_LE(peer.connections, 205U);
  EXPECT_TRUE(run([&] { return peer.quits >= 200; }));
  EXPECT_EQ(queue().count(Verdict::delivered), 200U);
}

TEST_F(Limits, MessagesPerConnection) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  peer.script.ehlo = kChunking;
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 1);
  queue().site(site).messages_per_connection_max = 3;
  add(site, 10);
  ASSERT_TRUE(run_until_results(10));
  EXPECT_EQ(peer.connections, 4U);
  uint32_t per_connection[5] = {};
  for (const ReceivedMail& one : peer.mails) ++per_connection[one.connection];
  for (const uint32_t count : per_connection) EXPECT_LE(count, 3U);
}

TEST_F(Limits, ThePeersOwnLimitOfMessages) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  peer.script.ehlo = "250-mx.example\r\n250-PIPELINING\r\n250 LIMITS MAILMAX=4";
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 1);
  add(site, 10);
  ASSERT_TRUE(run_until_results(10));
  EXPECT_EQ(queue().count(Verdict::delivered), 10U);
  EXPECT_EQ(peer.connections, 3U);
}

TEST_F(Limits, AnOldConnectionTakesNoMoreWork) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  options.connection_age_max = seconds(30);
  options.timeouts.idle = minutes(5);
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 1);
  add(site, 1);
  ASSERT_TRUE(run_until_results(1));
  world.run_for(seconds(20));
  add(site, 1);
  ASSERT_TRUE(run_until_results(2));
  EXPECT_EQ(peer.connections, 1U);
  world.run_for(seconds(20));
  add(site, 1);
  ASSERT_TRUE(run_until_results(3));
  EXPECT_EQ(peer.connections, 2U);
  EXPECT_EQ(peer.quits, 1U);
}

TEST_F(Limits, AnIdleConnectionIsUsedAgainAndEndsByQuit) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  options.timeouts.idle = seconds(10);
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"});
  for (size_t i = 1; i <= 5; ++i) {
    add(site, 1);
    ASSERT_TRUE(run_until_results(i));
    EXPECT_EQ(pools().counters().idle, 1U);
    world.run_for(seconds(9));
  }
  EXPECT_EQ(peer.connections, 1U);
  EXPECT_EQ(peer.quits, 0U);
  world.run_for(seconds(2));
  EXPECT_EQ(peer.quits, 1U);
  EXPECT_EQ(pools().counters().connections, 0U);
  EXPECT_EQ(pools().counters().timeouts, 0U);
}

TEST_F(Limits, TheLastConnectionOfABusySiteIsKeptWarm) {
  ScriptedPeer peer(world, "192.0.2.1:25"), quiet(world, "192.0.2.2:25");
  peer.script.delay = Milliseconds{100};
  options.timeouts.idle = seconds(5);
  options.warm_for = seconds(40);
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 4);
  const queue::SiteId other = queue().add_site({"192.0.2.2:25"}, 4);
  add(site, 200);
  add(other, 1);
  ASSERT_TRUE(run_until_results(201));
  world.run_for(seconds(20));
  EXPECT_EQ(peer.open, 1U);
  EXPECT_EQ(quiet.open, 0U);  // a single message is no habit
  const uint32_t before = peer.connections;
  add(site, 1);
  ASSERT_TRUE(run_until_results(202));
  EXPECT_EQ(peer.connections, before);
  world.run_for(seconds(39));
  EXPECT_EQ(peer.open, 1U);
  world.run_for(seconds(5));
  EXPECT_EQ(peer.open, 0U);
}

TEST_F(Limits, NoMoreConnectionsAreOpenedThanThereAreMessages) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  peer.script.delay = seconds(1);
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 50);
  add(site, 30);
  ASSERT_TRUE(run_until_results(30));
  const uint32_t before = peer.connections;
  world.run_for(minutes(2));
  add(site, 3);
  ASSERT_TRUE(run_until_results(33));
  EXPECT_LE(peer.connections, before + 3);
}

TEST_F(Limits, OneMessageOpensOneConnection) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  peer.script.delay = seconds(1);
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 50);
  add(site, 1);
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(peer.connections, 1U);
}

TEST_F(Limits, AFastPeerIsServedByFewConnections) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  peer.script.ehlo = kChunking;
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 50);
  add(site, 3);
  ASSERT_TRUE(run_until_results(3));
  // Few at a time, as they come in: no more connections than it takes.
  for (size_t i = 1; i <= 50; ++i) {
    add(site, 3);
    ASSERT_TRUE(run_until_results(3 + i * 3));
  }
  EXPECT_LE(peer.connections, 3U);
}

TEST_F(Limits, ConnectionsGrowByWhatSucceeds) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  peer.script.delay = Milliseconds{100};
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 1000);
  add(site, 5000);
  // Before the first greeting there is one.
  world.run_for(Milliseconds{90});
  EXPECT_EQ(peer.connections, 1U);
  ASSERT_TRUE(run_until_results(1));
  EXPECT_LE(peer.connections, 10U);
  ASSERT_TRUE(run_until_results(5000));
  EXPECT_GT(peer.open_max, 100U);
}

TEST_F(Limits, ASiteThatComesBackIsRampedUp) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  const SocketAddress address = *parse_socket_address("192.0.2.1:25", 25);
  world.refuse(address, true);
  options.host_retry_after = seconds(10);
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 100);
  add(site, 1000);
  ASSERT_TRUE(run([&] { return queue().news.size() == 2; }));
  EXPECT_EQ(pools().counters().connect_failures, 2U);  // a probe each, not an attempt per message
  world.refuse(address, false);
  peer.script.delay = Milliseconds{200};
  ASSERT_TRUE(run([&] { return queue().news.size() == 3; }));
  EXPECT_EQ(queue().news[2], "recovered 0");
  EXPECT_EQ(peer.connections, 1U);
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(peer.connections, 1U);
  ASSERT_TRUE(run_until_results(1000));
  EXPECT_GT(peer.open_max, 20U);
}

TEST_F(Limits, APeerThatRefusesMoreConnectionsKeepsThoseItHas) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  peer.script.delay = Milliseconds{50};
  peer.script.connections_max = 3;
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 50);
  add(site, 1000);
  ASSERT_TRUE(run_until_results(1000));
  EXPECT_EQ(queue().count(Verdict::delivered), 1000U);
  EXPECT_TRUE(queue().news.empty());
  // Asked for more now and then, not all the time.
  EXPECT_GT(peer.refused, 0U);
  EXPECT_LT(peer.refused, 40U);
}

TEST_F(Limits, EverySiteGetsAConnectionThoughTheShardIsFull) {
  options.connections_max = 4;
  ScriptedPeer peer(world, "0.0.0.0:25");
  peer.script.delay = Milliseconds{20};
  start();
  std::vector<queue::SiteId> sites;
  for (int i = 1; i <= 40; ++i) {
    sites.push_back(queue().add_site({"192.0.2." + std::to_string(i) + ":25"}, 10));
  }
  for (int i = 0; i < 10; ++i) {
    for (const queue::SiteId site : sites) add(site, 1);
  }
  ASSERT_TRUE(run_until_results(400));
  EXPECT_EQ(queue().count(Verdict::delivered), 400U);
  EXPECT_LE(peer.open_max, 4U);
}

TEST_F(Limits, ABusySiteMakesRoomForOneWithNone) {
  options.connections_max = 4;
  ScriptedPeer peer(world, "0.0.0.0:25");
  peer.script.delay = Milliseconds{20};
  start();
  const queue::SiteId busy = queue().add_site({"192.0.2.1:25"}, 10);
  add(busy, 5000);
  ASSERT_TRUE(run_until_results(100));
  const queue::SiteId other = queue().add_site({"192.0.2.2:25"}, 10);
  Mail one = mail("other");
  queue().add(other, one);
  ASSERT_TRUE(run([&] { return queue().result_of("other") != nullptr; }, seconds(5)));
  EXPECT_LE(peer.open_max, 4U);
}

TEST_F(Limits, IdleConnectionsOfOthersMakeRoom) {
  options.connections_max = 2;
  options.timeouts.idle = hours(1);
  options.connection_age_max = hours(1);
  ScriptedPeer peer(world, "0.0.0.0:25");
  start();
  for (int i = 1; i <= 5; ++i) {
    add(queue().add_site({"192.0.2." + std::to_string(i) + ":25"}), 1);
    ASSERT_TRUE(run_until_results(static_cast<size_t>(i), seconds(5)));
  }
  EXPECT_EQ(peer.quits, 3U);
}

}  // namespace
}  // namespace ringmta::client
