// SPDX-License-Identifier: GPL-3.0-or-later
// Answers that come late, or never, and what is asked for again before anybody must wait for it.
#include "mx_rig.h"

namespace ringmta::dns {
namespace {

// Some name servers never answer questions for AAAA (RFC 4074): no mail waits for that.
TEST_F(DnsMx, ASilentAaaaIsNotWaitedForWhereIpv4IsKnown) {
  server->add("example.org. 300 IN MX 10 mx1.example.org.");
  server->add("example.org. 300 IN MX 20 mx2.example.org.");
  server->add("mx1.example.org. 300 IN A 192.0.2.1");
  server->add("mx2.example.org. 300 IN A 192.0.2.2");
  server->script = [](const Asked& asked) { return asked.type == RecordType::aaaa; };
  start_mx();
  const Monotonic begun = io->now();
  const MailRoute route = route_of("example.org");
  EXPECT_EQ(texts(route), (Texts{"10 mx1.example.org 192.0.2.1", "20 mx2.example.org 192.0.2.2"}));
  EXPECT_GE(io->now() - begun, kLateFamilyWait);
  EXPECT_LT(io->now() - begun, seconds(1));
  EXPECT_GT(route.valid_until, begun + seconds(290));     // what is known holds,
  EXPECT_LT(route.refresh_from, io->now() + seconds(5));  // what is missing is asked for again soon
}

TEST_F(DnsMx, ALateAaaaIsThereTheNextTime) {
  server->add("example.org. 300 IN MX 10 mx.example.org.");
  server->add("mx.example.org. 300 IN A 192.0.2.1");
  server->add("mx.example.org. 300 IN AAAA 2001:db8::1");
  std::optional<Asked> late;
  server->script = [&](const Asked& asked) {
    if (asked.type == RecordType::aaaa) late = asked;
    return asked.type == RecordType::aaaa;
  };
  EXPECT_EQ(texts(route_of("example.org")), Texts{"10 mx.example.org 192.0.2.1"});
  ASSERT_TRUE(late.has_value());
  server->reply(*late, server->honest_answer(*late));
  ASSERT_TRUE(drive([&] { return resolver->counters().in_flight == 0; }));
  EXPECT_EQ(texts(route_of("example.org")), Texts{"10 mx.example.org 2001:db8::1 192.0.2.1"});
}

// A relay without IPv6 has no use for a host whose AAAA alone is known, nor has anybody for one
// whose IPv4 addresses are loopback.
TEST_F(DnsMx, AHostThatCannotBeReachedYetIsWaitedFor) {
  server->add("four.example. 300 IN MX 10 mx.four.example.");
  server->add("mx.four.example. 300 IN A 192.0.2.1");
  server->add("mx.four.example. 300 IN AAAA 2001:db8::1");
  server->add("six.example. 300 IN MX 10 mx.six.example.");
  server->add("mx.six.example. 300 IN A 127.0.0.1");
  server->add("mx.six.example. 300 IN AAAA 2001:db8::6");
  std::vector<Asked> late;
  server->script = [&](const Asked& asked) {
    const bool is_late = asked.lower == "mx.four.example." ? asked.type == RecordType::a
                                                           : asked.type == RecordType::aaaa;
    if (is_late) late.push_back(asked);
    return is_late;
  };
  start_mx();
  ask_mx("four.example");
  ask_mx("six.example");
  ASSERT_FALSE(drive([&] { return !answered.empty(); }, seconds(2)));
  for (const Asked& asked : late) server->reply(asked, server->honest_answer(asked));
  ASSERT_TRUE(drive([&] { return answered.size() == 2; }));
  for (const auto& query : answered) {
    EXPECT_EQ(texts(query->route), query->domain == "four.example"
                                       ? Texts{"10 mx.four.example 2001:db8::1 192.0.2.1"}
                                       : Texts{"10 mx.six.example 2001:db8::6"});
  }
}

TEST_F(DnsMx, AnAaaaThatFailedDoesNotShortenWhatIsKnown) {
  server->add("example.org. 300 IN MX 10 mx.example.org.");
  server->add("mx.example.org. 300 IN A 192.0.2.1");
  server->script = [&](const Asked& asked) {
    if (asked.type != RecordType::aaaa) return false;
    server->reply(asked, server->answer_to(asked).rcode(2));
    return true;
  };
  const MailRoute route = route_of("example.org");
  EXPECT_EQ(texts(route), Texts{"10 mx.example.org 192.0.2.1"});
  EXPECT_GT(route.valid_until, io->now() + seconds(290));
  EXPECT_LE(route.refresh_from, io->now() + seconds(30));
  EXPECT_GT(route.refresh_from, io->now() + seconds(20));
}

#ifdef RINGMTA_SIMULATED

TEST_F(DnsMx, AsksAgainInTheLastTenthAreAnsweredAtOnceAndRefresh) {
  server->add("example.org. 1000 IN MX 10 mx.example.org.");
  server->add("mx.example.org. 300 IN A 192.0.2.1");
  mx_options.inet6 = false;
  const MailRoute first = route_of("example.org");
  drive_for(first.refresh_from - world->now() + Milliseconds{1});
  const size_t asked = server->asked.size();
  route_of("example.org");
  ASSERT_TRUE(drive([&] { return server->asked.size() == asked + 1; }));
  drive_for(seconds(1));
  drive_for(first.valid_until - world->now() + Milliseconds{1});
  const MailRoute second = route_of("example.org");
  EXPECT_EQ(server->asked.size(), asked + 1);
  EXPECT_GT(second.valid_until, first.valid_until);
}

// "No AAAA" and "no MX" are refreshed as what is found is: in steady use nothing is ever missing.
TEST_F(DnsMx, WhatIsNotThereIsRefreshedAheadOfItsEndToo) {
  options.cache.ttl_min = seconds(12);
  server->negative_ttl_s = 12;
  server->add("example.org. 12 IN MX 10 mx.example.org.");
  server->add("mx.example.org. 12 IN A 192.0.2.1");
  server->add("bare.example. 12 IN A 192.0.2.2");
  route_of("example.org");
  route_of("bare.example");
  for (int i = 0; i < 400; ++i) {  // four a second
    for (const char* domain : {"example.org", "bare.example"}) {
      const uint64_t misses = resolver->cache_counters().misses;
      EXPECT_EQ(route_of(domain).kind, Kind::hosts);
      EXPECT_EQ(resolver->cache_counters().misses, misses) << domain << ", round " << i;
    }
    drive_for(Milliseconds{250});
  }
  EXPECT_GT(server->count("mx.example.org.", RecordType::aaaa), 5U);
  EXPECT_GT(server->count("bare.example.", RecordType::mx), 5U);
}

#endif

}  // namespace
}  // namespace ringmta::dns
