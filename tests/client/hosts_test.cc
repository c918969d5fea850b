// SPDX-License-Identifier: GPL-3.0-or-later
// Which of a site's hosts is spoken to: preference, chance, address order, health.
#include "hosts.h"

#include <map>
#include <set>

#include "relay.h"
#include "ringmta/client/security.h"

namespace ringmta::client {
namespace {

constexpr Monotonic kNow{1'000'000'000'000};
const HostRetry kRetry{seconds(60), minutes(30)};

queue::ResolvedHost host(const std::string& name, const std::string& address, uint16_t preference) {
  return {name, *parse_socket_address(address, 25), preference};
}

struct HostChoice : ::testing::Test {
  std::map<std::string, int> chosen(Monotonic at = kNow, int times = 3000) {
    std::map<std::string, int> counts;
    for (int i = 0; i < times; ++i) {
      const std::shared_ptr<Host> one = hosts.choose(at, random);
      ++counts[one == nullptr ? "none" : one->address.host_text()];
    }
    return counts;
  }
  std::shared_ptr<Host> only(Monotonic at = kNow) { return hosts.choose(at, random); }

  Hosts hosts;
  Prng random{7};
};

TEST_F(HostChoice, TakesTheMostPreferred) {
  const std::vector<queue::ResolvedHost> all = {host("b", "192.0.2.2", 20),
                                                host("a", "192.0.2.1", 10)};
  hosts.update(all);
  EXPECT_EQ(chosen(), (std::map<std::string, int>{{"192.0.2.1", 3000}}));
}

TEST_F(HostChoice, TakesEqualsEquallyOften) {
  const std::vector<queue::ResolvedHost> all = {
      host("a", "192.0.2.1", 10), host("b", "192.0.2.2", 10), host("c", "192.0.2.3", 10)};
  hosts.update(all);
  for (const auto& [address, count] : chosen()) {
    EXPECT_GT(count, 850) << address;
    EXPECT_LT(count, 1150) << address;
  }
}

TEST_F(HostChoice, TakesNamesNotAddressesEquallyOften) {
  const std::vector<queue::ResolvedHost> all = {
      host("a", "192.0.2.1", 10), host("a", "192.0.2.2", 10), host("a", "192.0.2.3", 10),
      host("b", "192.0.2.4", 10)};
  hosts.update(all);
  const auto counts = chosen();
  EXPECT_GT(counts.at("192.0.2.4"), 1350);
  EXPECT_GT(counts.at("192.0.2.1"), 400);
  EXPECT_GT(counts.at("192.0.2.3"), 400);
}

TEST_F(HostChoice, KeepsTheFamilyOrderOfANamesAddresses) {
  const std::vector<queue::ResolvedHost> all = {
      host("a", "[2001:db8::1]", 10), host("a", "[2001:db8::2]", 10), host("a", "192.0.2.1", 10)};
  hosts.update(all);
  EXPECT_EQ(chosen().count("192.0.2.1"), 0U);
  only()->failed(kNow, kRetry, random);
  EXPECT_EQ(chosen().count("192.0.2.1"), 0U);
  only()->failed(kNow, kRetry, random);
  EXPECT_EQ(chosen(), (std::map<std::string, int>{{"192.0.2.1", 3000}}));
}

// Whatever order the DNS gave them in.
TEST_F(HostChoice, OrdersAddressesByWhatThisMachineHas) {
  const std::vector<queue::ResolvedHost> all = {
      host("a", "192.0.2.1", 10), host("a", "[2002:c000:221::1]", 10), host("a", "[2600::1]", 10)};
  const auto order_from = [&](const std::vector<const char*>& machine) {
    std::vector<SocketAddress> sources;
    for (const char* text : machine) sources.push_back(*parse_socket_address(text, 0));
    hosts = {};
    hosts.update(all, sources);
    std::vector<std::string> order;
    while (const std::shared_ptr<Host> one = only()) {
      order.push_back(one->address.host_text());
      one->failed(kNow, kRetry, random);
    }
    return order;
  };
  using Order = std::vector<std::string>;
  const Order native = {"2600::1", "192.0.2.1", "2002:c000:221::1"};
  const Order inet4 = {"192.0.2.1", "2600::1", "2002:c000:221::1"};
  EXPECT_EQ(order_from({}), native);  // not known: the table's own precedence
  EXPECT_EQ(order_from({"127.0.0.1", "192.0.2.9", "[::1]", "[2600:1::9]"}), native);
  // No IPv6 beyond this machine or this link; none at all.
  EXPECT_EQ(order_from({"127.0.0.1", "192.0.2.9", "[::1]", "[fe80::9]"}), inet4);
  EXPECT_EQ(order_from({"127.0.0.1", "192.0.2.9"}), inet4);
  // Only unique local IPv6, which does not lead out (rule 5).
  EXPECT_EQ(order_from({"192.0.2.9", "[fd00::9]"}), inet4);
  EXPECT_EQ(order_from({"[::1]", "[2600:1::9]"}),
            (Order{"2600::1", "2002:c000:221::1", "192.0.2.1"}));
  // 6to4 on both sides has the same label, but still less precedence than IPv4.
  EXPECT_EQ(order_from({"192.0.2.9", "[2002:c000:222::1]"}),
            (Order{"192.0.2.1", "2002:c000:221::1", "2600::1"}));
}

TEST_F(HostChoice, GoesOnToTheNextPreferenceWhenAllOfOneFail) {
  const std::vector<queue::ResolvedHost> all = {
      host("a", "192.0.2.1", 10), host("b", "192.0.2.2", 10), host("c", "192.0.2.3", 20)};
  hosts.update(all);
  only()->failed(kNow, kRetry, random);
  EXPECT_EQ(chosen().size(), 1U);
  EXPECT_EQ(chosen().count("192.0.2.3"), 0U);
  only()->failed(kNow, kRetry, random);
  EXPECT_EQ(chosen(), (std::map<std::string, int>{{"192.0.2.3", 3000}}));
  only()->failed(kNow, kRetry, random);
  EXPECT_EQ(only(), nullptr);
  EXPECT_GT(hosts.next_chance(), kNow + seconds(50));
  EXPECT_LE(hosts.next_chance(), kNow + seconds(60));
  // And back to the preferred ones when their time has come.
  EXPECT_NE(chosen(kNow + seconds(61)).count("192.0.2.1"), 0U);
}

TEST_F(HostChoice, ProbesAFailedHostByOneConnection) {
  const std::vector<queue::ResolvedHost> all = {host("a", "192.0.2.1", 10)};
  hosts.update(all);
  only()->failed(kNow, kRetry, random);
  const Monotonic later = kNow + seconds(61);
  const std::shared_ptr<Host> probed = only(later);
  ASSERT_NE(probed, nullptr);
  probed->opening = 1;
  EXPECT_EQ(only(later), nullptr);
  probed->opening = 0;
  probed->works();
  probed->opening = 1;
  EXPECT_NE(only(later), nullptr);
}

TEST_F(HostChoice, DoublesTheWaitUpToItsLimit) {
  const std::vector<queue::ResolvedHost> all = {host("a", "192.0.2.1", 10)};
  hosts.update(all);
  Host& one = *only();
  Monotonic at = kNow;
  int64_t expected = 60'000;
  for (int i = 0; i < 40; ++i) {
    one.failed(at, kRetry, random);
    const int64_t wait = (one.skip_until - at).count;
    EXPECT_LE(wait, expected);
    EXPECT_GE(wait, expected * 7 / 8);
    at = one.skip_until;
    expected = std::min<int64_t>(expected * 2, 1'800'000);
  }
}

TEST_F(HostChoice, CountsFailuresAtOneTimeOnce) {
  const std::vector<queue::ResolvedHost> all = {host("a", "192.0.2.1", 10)};
  hosts.update(all);
  Host& one = *only();
  for (int i = 0; i < 10; ++i) one.failed(kNow, kRetry, random);
  EXPECT_EQ(one.failures, 1U);
}

TEST_F(HostChoice, RemembersTheHealthOfHostsThatStay) {
  std::vector<queue::ResolvedHost> all = {host("a", "192.0.2.1", 10), host("b", "192.0.2.2", 10)};
  hosts.update(all);
  for (int i = 0; i < 2; ++i) only()->failed(kNow, kRetry, random);
  all.pop_back();
  all.push_back(host("c", "192.0.2.3", 10));
  hosts.update(all);
  EXPECT_EQ(chosen(), (std::map<std::string, int>{{"192.0.2.3", 3000}}));
}

// ---- with connections

struct Failover : Relay {
  queue::SiteId add_site(const std::vector<queue::ResolvedHost>& hosts) {
    const queue::SiteId site = queue().add_site({});
    queue().site(site).hosts = hosts;
    return site;
  }
  static SocketAddress address(const char* text) { return *parse_socket_address(text, 25); }
};

TEST_F(Failover, TriesTheNextHostAtOnce) {
  ScriptedPeer second(world, "192.0.2.2:25");
  world.refuse(address("192.0.2.1:25"), true);
  start();
  const queue::SiteId site = add_site({host("mx1", "192.0.2.1", 10), host("mx2", "192.0.2.2", 20)});
  const Monotonic begun = world.now();
  queue().add(site, mail("one"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(queue().results[0].verdict, Verdict::delivered);
  EXPECT_EQ(queue().results[0].peer_name, "mx2");
  EXPECT_TRUE(queue().news.empty());
  EXPECT_LT((world.now() - begun).count, 1000);
}

TEST_F(Failover, TriesTheNextHostAfterARefusingGreeting) {
  ScriptedPeer first(world, "192.0.2.1:25"), second(world, "192.0.2.2:25");
  first.script.greeting = "554 5.3.2 no mail here";
  start();
  const queue::SiteId site = add_site({host("mx1", "192.0.2.1", 10), host("mx2", "192.0.2.2", 20)});
  queue().add(site, mail("one"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(queue().results[0].verdict, Verdict::delivered);
  EXPECT_EQ(second.mails.size(), 1U);
}

TEST_F(Failover, LeavesAFailedHostAloneForAWhileAndComesBack) {
  ScriptedPeer first(world, "192.0.2.1:25"), second(world, "192.0.2.2:25");
  world.refuse(address("192.0.2.1:25"), true);
  options.timeouts.idle = seconds(1);
  options.host_retry_after = seconds(60);
  start();
  const queue::SiteId site = add_site({host("mx1", "192.0.2.1", 10), host("mx2", "192.0.2.2", 20)});
  for (size_t i = 1; i <= 10; ++i) {
    queue().add(site, mail("one"));
    ASSERT_TRUE(run_until_results(i));
    world.run_for(seconds(5));
  }
  EXPECT_EQ(second.mails.size(), 10U);
  EXPECT_EQ(pools().counters().connect_failures, 1U);
  world.refuse(address("192.0.2.1:25"), false);
  world.run_for(seconds(30));
  queue().add(site, mail("one"));
  ASSERT_TRUE(run_until_results(11));
  EXPECT_EQ(first.mails.size(), 1U);
}

TEST_F(Failover, GoesThroughAllAddressesOfAnUnroutableFamily) {
  // A machine without IPv6 finds out at once; that is no reason to give the site up.
  std::vector<queue::ResolvedHost> all;
  for (int i = 1; i <= 9; ++i) {
    const std::string number = std::to_string(i);
    all.push_back(host("mx" + number, "[2001:db8::" + number + "]", 10));
    world.make_unroutable(all.back().address, true);
  }
  all.push_back(host("mx10", "192.0.2.1", 20));
  ScriptedPeer peer(world, "0.0.0.0:25");
  start();
  const queue::SiteId site = add_site(all);
  queue().add(site, mail("one"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_TRUE(queue().news.empty());
}

TEST_F(Failover, GivesUpAfterSoManyHosts) {
  start();
  std::vector<queue::ResolvedHost> many;
  for (int i = 1; i <= 20; ++i) {
    const std::string number = std::to_string(i);
    many.push_back(host("mx" + number, "192.0.2." + number, 10));
  }
  const queue::SiteId site = add_site(many);
  queue().add(site, mail("one"));
  ASSERT_TRUE(run([&] { return !queue().news.empty(); }));
  EXPECT_EQ(pools().counters().connect_failures, 5U);
  // The others get their turn later.
  ScriptedPeer last(world, "192.0.2.20:25");
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(queue().results[0].verdict, Verdict::delivered);
}

TEST_F(Failover, TellsThatThereIsNoAddress) {
  start();
  const queue::SiteId site = add_site({});
  queue().add(site, mail("one"));
  ASSERT_TRUE(run([&] { return !queue().news.empty(); }));
  EXPECT_EQ(queue().news[0], "failed 0: no address of a host is known for site0");
  ScriptedPeer peer(world, "192.0.2.1:25");
  queue().site(site).hosts = {host("mx", "192.0.2.1", 0)};
  EXPECT_TRUE(run_until_results(1, seconds(10)));
}

TEST_F(Failover, TakesUpNewAddresses) {
  ScriptedPeer old_peer(world, "192.0.2.1:25"), new_peer(world, "192.0.2.2:25");
  options.timeouts.idle = seconds(1);
  start();
  const queue::SiteId site = add_site({host("mx", "192.0.2.1", 0)});
  queue().add(site, mail("one"));
  ASSERT_TRUE(run_until_results(1));
  queue().site(site).hosts = {host("mx", "192.0.2.2", 0)};
  world.run_for(seconds(5));
  queue().add(site, mail("two"));
  ASSERT_TRUE(run_until_results(2));
  EXPECT_EQ(new_peer.mails.size(), 1U);
}

TEST_F(Failover, RefusesLoopbackUnlessPermitted) {
  for (const char* text : {"127.0.0.1:2525", "[::1]:2525", "[::ffff:127.0.0.1]:2525"}) {
    ScriptedPeer peer(world, text);
    for (const bool permitted : {false, true}) {
      ClientPoolOptions chosen = options;
      chosen.deliver_to_loopback = permitted;
      Shard own(world, chosen);
      const queue::SiteId site = own.queue.add_site({text});
      own.queue.site(site).route = queue::kNoRoute;  // found by MX
      own.queue.add(site, mail("one"));
      EXPECT_TRUE(run([&] { return own.queue.results.size() + own.queue.news.size() > 0; }));
      EXPECT_EQ(own.queue.results.size(), permitted ? 1U : 0U) << text;
      if (!permitted) {
        EXPECT_NE(own.queue.news[0].find("loopback address"), std::string::npos);
        EXPECT_NE(own.queue.news[0].find("deliver_to_loopback"), std::string::npos);
        EXPECT_EQ(peer.connections, 0U);
      }
      own.pools->stop();
      EXPECT_TRUE(run([&] { return own.pools->idle(); }));
    }
  }
}

TEST_F(Failover, RefusesAddressesNobodyHas) {
  start();
  const char* const texts[] = {"0.0.0.0:25", "[::]:25", "224.0.0.1:25", "255.255.255.255:25",
                               "[ff02::1]:25"};
  for (const char* text : texts) queue().add(queue().add_site({text}), mail("one"));
  EXPECT_TRUE(run([&] { return queue().news.size() == std::size(texts); }));
  EXPECT_EQ(pools().counters().opened, 0U);
}

TEST_F(Failover, DoesNotDeliverToItself) {
  ScriptedPeer peer(world, "198.51.100.1:25");
  start();
  const SocketAddress own[] = {address("198.51.100.1:25"), address("[2001:db8::1]:25")};
  pools().set_own_addresses(own);
  queue().add(queue().add_site({"198.51.100.1:25"}), mail("one"));
  queue().add(queue().add_site({"[2001:db8::1]:25"}), mail("one"));
  ASSERT_TRUE(run([&] { return queue().news.size() == 2; }));
  EXPECT_NE(queue().news[0].find("is this relay itself"), std::string::npos);
  EXPECT_EQ(peer.connections, 0U);
}

TEST_F(Failover, SpeaksOnlyToMailHostsPreferredToItself) {
  ScriptedPeer best(world, "192.0.2.1:25"), equal(world, "192.0.2.2:25"),
      worse(world, "192.0.2.3:25");
  start();
  const SocketAddress own[] = {address("198.51.100.1:25")};
  pools().set_own_addresses(own);
  const queue::SiteId site =
      add_site({host("best", "192.0.2.1", 10), host("we", "198.51.100.1", 20),
                host("equal", "192.0.2.2", 20), host("worse", "192.0.2.3", 30)});
  queue().site(site).route = queue::kNoRoute;
  queue().add(site, mail("one"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(best.mails.size(), 1U);
  world.run_for(seconds(20));
  world.refuse(address("192.0.2.1:25"), true);
  for (int i = 0; i < 20; ++i) queue().add(site, mail("two"));
  ASSERT_TRUE(run([&] { return queue().news.size() > 3; }));
  EXPECT_EQ(equal.connections + worse.connections, 0U);
  // We are the best: then the domain is ours, and somebody forgot to tell us.
  const queue::SiteId ours =
      add_site({host("we", "198.51.100.1", 20), host("worse", "192.0.2.3", 30)});
  queue().site(ours).route = queue::kNoRoute;
  queue().add(ours, mail("three"));
  ASSERT_TRUE(run([&] { return queue().news.back().starts_with("failed 1: we (198"); }));
  EXPECT_NE(queue().news.back().find("is this relay itself"), std::string::npos);
  EXPECT_EQ(worse.connections, 0U);
}

TEST_F(Failover, KnowsItselfBehindAWildcard) {
  ScriptedPeer peer(world, "198.51.100.1:25"), other(world, "198.51.100.1:26");
  options.source4 = address("198.51.100.1:0");  // as the kernel would choose for this peer
  start();
  const SocketAddress own[] = {address("0.0.0.0:25")};
  pools().set_own_addresses(own);
  queue().add(queue().add_site({"198.51.100.1:25"}), mail("one"));
  ASSERT_TRUE(run([&] { return queue().news.size() == 1; }));
  EXPECT_NE(queue().news[0].find("is this relay itself"), std::string::npos);
  EXPECT_TRUE(peer.commands.empty());
  // Another program on this machine is not us.
  queue().add(queue().add_site({"198.51.100.1:26"}), mail("two"));
  EXPECT_TRUE(run_until_results(1));
}

TEST_F(Failover, KnowsItselfByTheNameInEhlo) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  peer.script.ehlo = "250-RELAY.example at your service\r\n250 PIPELINING";
  start();
  queue().add(queue().add_site({"192.0.2.1:25"}), mail("one"));
  ASSERT_TRUE(run([&] { return queue().news.size() == 1; }));
  EXPECT_NE(queue().news[0].find("our own name"), std::string::npos);
  EXPECT_TRUE(queue().results.empty());
}

TEST_F(Failover, SendsFromTheChosenAddress) {
  ScriptedPeer four(world, "192.0.2.1:25"), six(world, "[2001:db8::1]:25");
  options.source4 = address("198.51.100.7:0");
  options.source6 = address("[2001:db8::7]:0");
  start();
  queue().add(queue().add_site({"192.0.2.1:25"}), mail("one"));
  queue().add(queue().add_site({"[2001:db8::1]:25"}), mail("two"));
  ASSERT_TRUE(run_until_results(2));
  EXPECT_EQ(four.last_client, "198.51.100.7");
  EXPECT_EQ(six.last_client, "2001:db8::7");
}

TEST(HostNames, WithoutPort) {
  EXPECT_EQ(name_without_port("smtp.example.net:587"), "smtp.example.net");
  EXPECT_EQ(name_without_port("smtp.example.net"), "smtp.example.net");
  EXPECT_EQ(name_without_port("192.0.2.1:25"), "192.0.2.1");
  EXPECT_EQ(name_without_port("[2001:db8::1]:25"), "2001:db8::1");
  EXPECT_EQ(name_without_port("2001:db8::1"), "2001:db8::1");
  EXPECT_EQ(name_without_port("/run/lmtp"), "/run/lmtp");
}

}  // namespace
}  // namespace ringmta::client
