// SPDX-License-Identifier: GPL-3.0-or-later
// From domains to mail hosts, and to the right reason where there are none.
#include "mx_rig.h"

namespace ringmta::dns {
namespace {

TEST_F(DnsMx, FindsHostsByPreferenceWithTheirAddresses) {
  server->add("example.org. 300 IN MX 20 mx2.example.org.");
  server->add("example.org. 300 IN MX 10 mx1.example.net.");
  server->add("mx1.example.net. 300 IN A 192.0.2.11");  // in any order, of either family first:
  server->add("mx1.example.net. 300 IN A 192.0.2.1");   // the list is always the same
  server->add("mx1.example.net. 300 IN AAAA 2001:db8::1");
  server->add("mx2.example.org. 300 IN A 192.0.2.2");
  const MailRoute route = route_of("Example.ORG");
  EXPECT_EQ(route.kind, Kind::hosts);
  EXPECT_EQ(route.domain, "example.org");
  ASSERT_EQ(texts(route).size(), 2U);
  EXPECT_EQ(texts(route)[0], "10 mx1.example.net 2001:db8::1 192.0.2.1 192.0.2.11");
  EXPECT_EQ(texts(route)[1], "20 mx2.example.org 192.0.2.2");
  EXPECT_EQ(route.hosts[0].addresses[0].port(), 25);
  EXPECT_EQ(route.site_key, "mx1.example.net;mx2.example.org");
  EXPECT_FALSE(route.status);
}

TEST_F(DnsMx, RepliesCarryTheQuestionBack) {
  start_mx();
  auto query = std::make_unique<MxQuery>();
  query->domain = "example.org";
  query->asker = ShardId{3};
  query->tag = 77;
  MxQuery* const same = query.get();
  mx->ask(std::move(query));
  ASSERT_TRUE(drive([&] { return !answered.empty(); }));
  EXPECT_EQ(answered[0].get(), same);
  EXPECT_EQ(answered[0]->asker, ShardId{3});
  EXPECT_EQ(answered[0]->tag, 77U);
}

TEST_F(DnsMx, TheWholeLastsAsLongAsItsShortestPart) {
  server->add("example.org. 3600 IN MX 10 mx.example.org.");
  server->add("mx.example.org. 100 IN A 192.0.2.1");
  server->negative_ttl_s = 500;
  const MailRoute route = route_of("example.org");
  const Milliseconds left = route.valid_until - io->now();
  EXPECT_LE(left, seconds(100));
  EXPECT_GT(left, seconds(90));
  EXPECT_LT(route.refresh_from, route.valid_until);
  EXPECT_GE(route.valid_until - route.refresh_from, seconds(8));
}

TEST_F(DnsMx, ANullMxRefusesAtOnce) {
  server->add("example.org. 300 IN MX 0 .");
  server->add("example.org. 300 IN A 192.0.2.1");
  const MailRoute route = route_of("example.org");
  EXPECT_EQ(route.kind, Kind::refused);
  EXPECT_EQ(route.status.text(), "5.1.10");
  EXPECT_EQ(route.reason, "example.org says that it takes no mail (null MX)");
  EXPECT_TRUE(route.hosts.empty());
  EXPECT_EQ(server->asked.size(), 1U);
}

TEST_F(DnsMx, ANullMxSentTwiceIsOne) {
  server->script = [&](const Asked& asked) {
    server->reply(asked, server->answer_to(asked)
                             .answer("example.org. 300 IN MX 0 .")
                             .answer("example.org. 300 IN MX 0 ."));
    return true;
  };
  EXPECT_EQ(route_of("example.org").status.text(), "5.1.10");
}

TEST_F(DnsMx, ANullMxAmongOthersIsNone) {
  server->add("example.org. 300 IN MX 0 .");
  server->add("example.org. 300 IN MX 10 mx.example.org.");
  server->add("mx.example.org. 300 IN A 192.0.2.1");
  EXPECT_EQ(texts(route_of("example.org")), Texts{"10 mx.example.org 192.0.2.1"});
}

TEST_F(DnsMx, WithoutMxTheDomainItselfIsTheHost) {
  server->add("example.org. 300 IN A 192.0.2.1");
  const MailRoute route = route_of("example.org");
  EXPECT_EQ(texts(route), Texts{"0 example.org 192.0.2.1"});
  EXPECT_EQ(route.site_key, "example.org");
  server->add("six.example. 300 IN AAAA 2001:db8::1");
  EXPECT_EQ(texts(route_of("six.example")), Texts{"0 six.example 2001:db8::1"});
}

TEST_F(DnsMx, NoSuchDomainIsPermanent) {
  const MailRoute route = route_of("no.example");
  EXPECT_EQ(route.kind, Kind::refused);
  EXPECT_EQ(route.status.text(), "5.1.2");
  EXPECT_EQ(route.reason, "there is no domain no.example");
  EXPECT_EQ(server->count("no.example.", RecordType::a), 0U);
}

TEST_F(DnsMx, ADomainWithNeitherMxNorAddressIsPermanent) {
  server->add("example.org. 300 IN TXT nothing");
  const MailRoute route = route_of("example.org");
  EXPECT_EQ(route.kind, Kind::refused);
  EXPECT_EQ(route.status.text(), "5.4.4");
}

TEST_F(DnsMx, ServerFailuresAreTemporary) {
  fail_for("example.org.");
  MailRoute route = route_of("example.org");
  EXPECT_EQ(route.kind, Kind::deferred);
  EXPECT_EQ(route.status.text(), "4.4.3");
  EXPECT_EQ(route.reason,
            "the mail hosts of example.org could not be found out: the DNS servers answered with "
            "an error");
  EXPECT_GT(route.valid_until, io->now());
  EXPECT_EQ(server->count("example.org.", RecordType::a), 0U);  // no falling back to an address
}

TEST_F(DnsMx, FailuresForAllHostsAreTemporary) {
  server->add("example.org. 300 IN MX 10 mx1.example.org.");
  server->add("example.org. 300 IN MX 20 mx2.example.org.");
  fail_for("mx1.example.org.");
  const MailRoute route = route_of("example.org");  // mx2 has no address, mx1 nobody knows
  EXPECT_EQ(route.kind, Kind::deferred);
  EXPECT_EQ(route.status.text(), "4.4.3");
}

TEST_F(DnsMx, HostsThatAreKnownAreTakenForAShortTime) {
  server->add("example.org. 300 IN MX 10 mx1.example.org.");
  server->add("example.org. 300 IN MX 20 mx2.example.org.");
  server->add("mx2.example.org. 300 IN A 192.0.2.2");
  fail_for("mx1.example.org.");
  const MailRoute route = route_of("example.org");
  EXPECT_EQ(texts(route), Texts{"20 mx2.example.org 192.0.2.2"});
  EXPECT_LE(route.valid_until, io->now() + seconds(30));
  EXPECT_EQ(route.site_key, "mx1.example.org;mx2.example.org");  // the same as on better days
}

TEST_F(DnsMx, HostsWithoutAnyAddressArePermanent) {
  server->add("example.org. 300 IN MX 10 mx1.example.org.");
  server->add("example.org. 300 IN A 192.0.2.1");  // of no use where there is an MX
  const MailRoute route = route_of("example.org");
  EXPECT_EQ(route.kind, Kind::refused);
  EXPECT_EQ(route.status.text(), "5.4.4");
  EXPECT_EQ(route.reason, "none of the mail hosts of example.org has an address");
}

TEST_F(DnsMx, AliasesAreFollowed) {
  server->add("example.org. 300 IN CNAME mail.example.net.");
  server->add("mail.example.net. 300 IN MX 10 mx.example.net.");
  server->add("mx.example.net. 300 IN CNAME host.example.net.");
  server->add("host.example.net. 300 IN A 192.0.2.1");
  EXPECT_EQ(texts(route_of("example.org")), Texts{"10 mx.example.net 192.0.2.1"});
}

TEST_F(DnsMx, DomainsWithTheSameHostsShareASite) {
  for (const char* domain : {"one", "two", "three", "four"}) {
    const std::string name = std::string(domain) + ".example. 300 IN MX ";
    const bool reversed = std::string(domain) == "three";
    const bool other_numbers = std::string(domain) == "two";
    server->add(name + (reversed ? "20" : other_numbers ? "1" : "10") + " MX1.host.example.");
    server->add(name + (reversed ? "10" : other_numbers ? "5" : "20") + " mx2.host.example.");
    if (std::string(domain) == "four") server->add(name + "20 mx3.host.example.");
  }
  for (int i = 1; i <= 3; ++i) {
    const std::string number = std::to_string(i);
    server->add("mx" + number + ".host.example. 300 IN A 192.0.2." + number);
  }
  const std::string key = route_of("one.example").site_key;
  EXPECT_EQ(route_of("two.example").site_key, key);
  EXPECT_NE(route_of("three.example").site_key, key);
  EXPECT_NE(route_of("four.example").site_key, key);
  EXPECT_EQ(route_of("four.example").site_key,
            "mx1.host.example;mx2.host.example,mx3.host.example");
}

TEST_F(DnsMx, AHostNamedTwiceCountsOnce) {
  server->add("example.org. 300 IN MX 20 mx.example.org.");
  server->add("example.org. 300 IN MX 10 MX.example.org.");
  server->add("mx.example.org. 300 IN A 192.0.2.1");
  EXPECT_EQ(texts(route_of("example.org")), Texts{"10 mx.example.org 192.0.2.1"});
}

TEST_F(DnsMx, OnlyTheMostPreferredOfVeryManyHostsAreAskedFor) {
  mx_options.hosts_max = 4;
  for (int i = 0; i < 60; ++i) {
    const std::string host = "mx" + std::to_string(i) + ".example.";
    server->add("example.org. 300 IN MX " + std::to_string(100 - i) + " " + host);
    server->add(host + " 300 IN A 192.0.2." + std::to_string(i));
  }
  const MailRoute route = route_of("example.org");
  ASSERT_EQ(route.hosts.size(), 4U);
  EXPECT_EQ(texts(route)[0], "41 mx59.example 192.0.2.59");
  EXPECT_LE(server->asked.size(), 2U + 8U);
}

// Twenty equal hosts, one that is preferred and one that is not: each relay uses the first and
// fifteen of the equal ones, always the same, and many relays all of them.
TEST_F(DnsMx, OfTooManyEqualHostsEachRelayUsesOthers) {
  server->add("example.org. 300 IN MX 5 zz.example.");
  server->add("example.org. 300 IN MX 50 aa.example.");
  server->add("zz.example. 300 IN A 192.0.2.99");
  for (int i = 0; i < 20; ++i) {
    const std::string host = "mx" + std::to_string(i) + ".example.";
    server->add("example.org. 300 IN MX 10 " + host);
    server->add(host + " 300 IN A 192.0.2." + std::to_string(i + 1));
  }
  std::map<std::string, int> used;
  constexpr int kRelays = 40;
  for (int relay = 0; relay < kRelays; ++relay) {
    mx_options.own_names = {"relay" + std::to_string(relay) + ".example"};
    mx.reset();
    start_mx();
    const MailRoute route = route_of("example.org");
    ASSERT_EQ(route.hosts.size(), 16U);
    EXPECT_EQ(route.hosts[0].name, "zz.example");
    EXPECT_EQ(route_of("example.org").site_key, route.site_key);
    for (const MailHost& host : route.hosts) ++used[host.name];
  }
  EXPECT_EQ(used.size(), 21U);
  EXPECT_FALSE(used.contains("aa.example"));
  for (const auto& [host, times] : used) EXPECT_GT(times, kRelays / 2) << host;
}

TEST_F(DnsMx, AddressesPerHostAreBounded) {
  mx_options.addresses_per_host_max = 3;
  server->add("example.org. 300 IN MX 10 mx.example.");
  for (int i = 0; i < 40; ++i) server->add("mx.example. 300 IN A 192.0.2." + std::to_string(i));
  EXPECT_EQ(route_of("example.org").hosts[0].addresses.size(), 3U);
}

TEST_F(DnsMx, NamesThatAreNoHostNamesAreLeftOut) {
  server->add("example.org. 300 IN MX 10 bad\\032name.example.");
  server->add("example.org. 300 IN MX 20 mx.example.org.");
  server->add("mx.example.org. 300 IN A 192.0.2.1");
  EXPECT_EQ(texts(route_of("example.org")), Texts{"20 mx.example.org 192.0.2.1"});
  server->add("bad.example. 300 IN MX 10 \\000\\010.example.");
  const MailRoute bad = route_of("bad.example");
  EXPECT_EQ(bad.kind, Kind::refused);
  EXPECT_EQ(bad.status.text(), "5.4.4");
}

TEST_F(DnsMx, GlueInTheAdditionalSectionIsNotUsed) {
  server->add("mx.example.org. 300 IN A 192.0.2.1");
  server->script = [&](const Asked& asked) {
    if (asked.type != RecordType::mx) return false;
    server->reply(asked, server->answer_to(asked)
                             .answer("example.org. 300 IN MX 10 mx.example.org.")
                             .additional("mx.example.org. 300 IN A 203.0.113.66"));
    return true;
  };
  EXPECT_EQ(texts(route_of("example.org")), Texts{"10 mx.example.org 192.0.2.1"});
}

// ---- addresses that are not mail hosts

TEST_F(DnsMx, LoopbackAndItsLikesAreNotMailHosts) {
  server->add("loop.example. 300 IN MX 10 mx.loop.example.");
  for (const char* address :
       {"127.0.0.1", "127.9.9.9", "0.0.0.0", "169.254.1.1", "224.0.0.1", "255.255.255.255"}) {
    server->add(std::string("mx.loop.example. 300 IN A ") + address);
  }
  for (const char* address : {"::1", "::", "fe80::1", "ff02::1", "::ffff:127.0.0.1",
                              "::ffff:192.0.2.1", "::127.0.0.1", "::192.0.2.1"}) {
    server->add(std::string("mx.loop.example. 300 IN AAAA ") + address);
  }
  const MailRoute route = route_of("loop.example");
  EXPECT_EQ(route.kind, Kind::refused) << ::testing::PrintToString(texts(route));
  EXPECT_EQ(route.status.text(), "5.4.4");
  server->add("half.example. 300 IN MX 10 mx.half.example.");
  server->add("mx.half.example. 300 IN A 127.0.0.1");
  server->add("mx.half.example. 300 IN A 10.1.2.3");
  EXPECT_EQ(texts(route_of("half.example")), Texts{"10 mx.half.example 10.1.2.3"});
}

TEST_F(DnsMx, LoopbackMayBeAllowed) {
  mx_options.refused_addresses.clear();
  mx_options.port = 2525;
  server->add("loop.example. 300 IN MX 10 mx.loop.example.");
  server->add("mx.loop.example. 300 IN A 127.0.0.7");
  const MailRoute route = route_of("loop.example");
  EXPECT_EQ(texts(route), Texts{"10 mx.loop.example 127.0.0.7"});
  EXPECT_EQ(route.hosts[0].addresses[0].port(), 2525);
  EXPECT_EQ(route_of("localhost").kind, Kind::hosts);
  EXPECT_EQ(server->count("localhost.", RecordType::mx), 0U);
}

TEST_F(DnsMx, SpecialNamesAreNotAskedFor) {
  EXPECT_EQ(route_of("localhost").status.text(), "5.4.4");
  EXPECT_EQ(route_of("a.localhost").status.text(), "5.4.4");
  EXPECT_EQ(route_of("example.invalid").status.text(), "5.1.2");
  EXPECT_EQ(route_of("expyuzz4wqqyqhjn.onion").status.text(), "5.1.2");
  EXPECT_TRUE(server->asked.empty());
}

// ---- ourselves

TEST_F(DnsMx, HostsNoMorePreferredThanOurselvesAreLeftOut) {
  mx_options.own_names = {"Relay.Example.ORG"};
  server->add("example.org. 300 IN MX 10 mx1.example.org.");
  server->add("example.org. 300 IN MX 20 relay.example.org.");
  server->add("example.org. 300 IN MX 20 mx2.example.org.");
  server->add("example.org. 300 IN MX 30 mx3.example.org.");
  for (const char* host : {"mx1", "mx2", "mx3", "relay"}) {
    server->add(std::string(host) + ".example.org. 300 IN A 192.0.2.1");
  }
  const MailRoute route = route_of("example.org");
  EXPECT_EQ(texts(route), Texts{"10 mx1.example.org 192.0.2.1"});
  EXPECT_EQ(route.site_key, "mx1.example.org");
}

TEST_F(DnsMx, OurselvesByAddressAndMostPreferredIsALoop) {
  mx_options.own_addresses = {*Network::parse("192.0.2.99")};
  server->add("example.org. 300 IN MX 10 some-name-of-ours.example.");
  server->add("example.org. 300 IN MX 20 mx2.example.org.");
  server->add("some-name-of-ours.example. 300 IN A 192.0.2.99");
  server->add("mx2.example.org. 300 IN A 192.0.2.2");
  const MailRoute route = route_of("example.org");
  EXPECT_EQ(route.kind, Kind::refused);
  EXPECT_EQ(route.status.text(), "5.4.6");
  server->add("direct.example. 300 IN A 192.0.2.99");
  EXPECT_EQ(route_of("direct.example").status.text(), "5.4.6");
}

// ---- domains that are none

TEST_F(DnsMx, AddressLiterals) {
  MailRoute route = route_of("[192.0.2.1]");
  EXPECT_EQ(texts(route), Texts{"0 [192.0.2.1] 192.0.2.1"});
  EXPECT_EQ(route.site_key, "[192.0.2.1]");
  route = route_of("[IPv6:2001:db8::1]");
  EXPECT_EQ(texts(route), Texts{"0 [IPv6:2001:db8::1] 2001:db8::1"});
  EXPECT_EQ(route_of("[ipv6:2001:DB8:0::1]").site_key, "[IPv6:2001:db8::1]");
  for (const char* bad :
       {"[", "[]", "[192.0.2.1", "[192.0.2]", "[192.0.2.1]:25", "[192.0.2.1:25]", "[2001:db8::1]",
        "[IPv6:192.0.2.1]", "[IPv6:[2001:db8::1]]", "[/run/x]", "[IPv6:]", "[x-tag:1]"}) {
    EXPECT_EQ(route_of(bad).status.text(), "5.1.3") << bad;
  }
  EXPECT_EQ(route_of("[127.0.0.1]").status.text(), "5.4.4");
  EXPECT_EQ(route_of("[IPv6:::1]").status.text(), "5.4.4");
  EXPECT_EQ(route_of("[IPv6:::ffff:192.0.2.1]").status.text(), "5.4.4");
  EXPECT_EQ(route_of("[IPv6:::127.1.8.1]").status.text(), "5.4.4");
  EXPECT_TRUE(server->asked.empty());
}

TEST_F(DnsMx, AddressLiteralsOfOurselvesAreALoop) {
  mx_options.own_addresses = {*Network::parse("192.0.2.99")};
  EXPECT_EQ(route_of("[192.0.2.99]").status.text(), "5.4.6");
}

TEST_F(DnsMx, InternationalizedDomains) {
  server->add("xn--bcher-kva.example. 300 IN MX 10 mx.example.");
  server->add("mx.example. 300 IN A 192.0.2.1");
  const MailRoute route = route_of("Bücher.example");
  EXPECT_EQ(route.kind, Kind::hosts);
  EXPECT_EQ(route.domain, "xn--bcher-kva.example");
}

TEST_F(DnsMx, WhatIsNoDomainIsRefusedWithoutAsking) {
  for (const char* bad : {"", "a b.example", "a..b", ".", "-\n.example"}) {
    const MailRoute route = route_of(bad);
    EXPECT_EQ(route.kind, Kind::refused) << bad;
    EXPECT_EQ(route.status.text(), "5.1.3") << bad;
  }
  EXPECT_TRUE(server->asked.empty());
}

TEST_F(DnsMx, OneFamilyMayBeLeftOut) {
  mx_options.inet6 = false;
  server->add("example.org. 300 IN MX 10 mx.example.org.");
  server->add("mx.example.org. 300 IN A 192.0.2.1");
  server->add("mx.example.org. 300 IN AAAA 2001:db8::1");
  EXPECT_EQ(texts(route_of("example.org")), Texts{"10 mx.example.org 192.0.2.1"});
  EXPECT_EQ(server->count("mx.example.org.", RecordType::aaaa), 0U);
}

// ---- many at once

TEST_F(DnsMx, ManyDomainsAtOnceWithinBounds) {
  mx_options.active_max = 10;
  mx_options.waiting_max = 1000;
  for (int i = 0; i < 300; ++i) {
    const std::string name = "d" + std::to_string(i) + ".example. 300 IN MX 10 ";
    server->add(name + "mx" + std::to_string(i % 7) + ".example.");
  }
  for (int i = 0; i < 7; ++i) {
    server->add("mx" + std::to_string(i) + ".example. 300 IN A 192.0.2." + std::to_string(i));
  }
  start_mx();
  for (uint64_t i = 0; i < 300; ++i) ask_mx("d" + std::to_string(i) + ".example", i);
  ASSERT_TRUE(drive([&] { return answered.size() == 300; }));
  std::set<uint64_t> tags;
  for (const auto& query : answered) {
    tags.insert(query->tag);
    ASSERT_EQ(query->route.kind, Kind::hosts);
    EXPECT_EQ(query->route.hosts[0].name, "mx" + std::to_string(query->tag % 7) + ".example");
  }
  EXPECT_EQ(tags.size(), 300U);
  EXPECT_EQ(server->asked.size(), 300U + 7 + 7);
  EXPECT_EQ(mx->counters().active, 0U);
  EXPECT_EQ(mx->counters().hosts, 300U);
}

TEST_F(DnsMx, BeyondItsBoundItDefersAtOnce) {
  mx_options.active_max = 2;
  mx_options.waiting_max = 3;
  server->script = [](const Asked&) { return true; };
  start_mx();
  for (uint64_t i = 0; i < 6; ++i) ask_mx("d" + std::to_string(i) + ".example", i);
  ASSERT_TRUE(drive([&] { return !answered.empty(); }));
  EXPECT_EQ(answered[0]->tag, 5U);
  EXPECT_EQ(answered[0]->route.kind, Kind::deferred);
  EXPECT_EQ(answered[0]->route.status.text(), "4.4.3");
}

TEST_F(DnsMx, MayGoAwayWithQuestionsUnderWay) {
  server->add("example.org. 300 IN MX 10 mx.example.org.");
  start_mx();
  for (uint64_t i = 0; i < 20; ++i) ask_mx("d" + std::to_string(i) + ".example", i);
  ask_mx("example.org");
  ASSERT_TRUE(drive([&] { return !answered.empty(); }));
  mx.reset();
  EXPECT_TRUE(drive([&] { return resolver->counters().in_flight == 0; }));
}

TEST(HomeShard, IsTheSameWhateverTheCaseAndSpreadsEvenly) {
  EXPECT_EQ(home_shard("Example.ORG", 7), home_shard("example.org", 7));
  EXPECT_EQ(home_shard("example.org", 1), ShardId{0});
  std::array<int, 8> counts{};
  for (int i = 0; i < 8000; ++i) {
    ++counts.at(home_shard("d" + std::to_string(i) + ".example", 8).value);
  }
  for (const int count : counts) {
    EXPECT_GT(count, 850);
    EXPECT_LT(count, 1150);
  }
}

TEST(AddressesOfThisMachine, IncludeLoopback) {
  EXPECT_TRUE(any_contains(addresses_of_this_machine(), *parse_socket_address("127.0.0.1", 25)));
  EXPECT_FALSE(any_contains(addresses_of_this_machine(), *parse_socket_address("192.0.2.1", 25)));
}

#ifdef RINGMTA_SIMULATED

// Slow and dead domains among living ones: the living ones do not wait for them.
TEST_F(DnsMx, DeadDomainsDoNotDelayLivingOnes) {
  for (int i = 0; i < 200; ++i) {
    server->add("alive" + std::to_string(i) + ".example. 300 IN MX 10 mx.example.");
  }
  server->add("mx.example. 300 IN A 192.0.2.1");
  server->script = [](const Asked& asked) { return asked.lower.starts_with("dead"); };
  start_mx();
  const Monotonic begin = io->now();
  for (uint64_t i = 0; i < 200; ++i) {
    ask_mx("dead" + std::to_string(i) + ".example", 1000 + i);
    ask_mx("alive" + std::to_string(i) + ".example", i);
  }
  ASSERT_TRUE(drive([&] { return mx->counters().hosts == 200; }));
  EXPECT_LT(io->now() - begin, Milliseconds{100});
  ASSERT_TRUE(drive([&] { return answered.size() == 400; }));
  EXPECT_EQ(mx->counters().deferred, 200U);
}

#endif

}  // namespace
}  // namespace ringmta::dns
