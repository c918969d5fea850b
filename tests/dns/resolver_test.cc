// SPDX-License-Identifier: GPL-3.0-or-later
// The resolver among servers that mean well, some of them slow, dead or old: over real sockets and
// in the simulator.
#include "rig.h"

namespace ringmta::dns {
namespace {

class DnsResolver : public Rig {
 protected:
  void SetUp() override {
    Rig::SetUp();
#ifndef RINGMTA_SIMULATED
    options.attempt_timeout = Milliseconds{500};  // real time passes here
#endif
  }
};

TEST_F(DnsResolver, FindsRecords) {
  ScriptedServer& server = add_server();
  server.add("example.org. 300 IN MX 20 mx2.example.org.");
  server.add("example.org. 300 IN MX 10 mx1.example.org.");
  server.add("mx1.example.org. 300 IN A 192.0.2.1");
  server.add("mx1.example.org. 300 IN AAAA 2001:db8::1");
  start();
  const Wish& mx_wish = ask("example.org", RecordType::mx);
  const Wish& a_wish = ask("mx1.example.org", RecordType::a);
  const Wish& aaaa_wish = ask("MX1.Example.ORG", RecordType::aaaa);
  ASSERT_TRUE(drive([&] { return mx_wish.answered && a_wish.answered && aaaa_wish.answered; }));
  EXPECT_EQ(mx_wish.texts(), (Texts{"20 mx2.example.org", "10 mx1.example.org"}));
  EXPECT_EQ(a_wish.texts(), Texts{"192.0.2.1"});
  EXPECT_EQ(aaaa_wish.texts(), Texts{"2001:db8::1"});
  EXPECT_EQ(mx_wish.records.fate, Fate::found);
  const Milliseconds left = mx_wish.records.expires - io->now();
  EXPECT_GT(left, seconds(290));
  EXPECT_LE(left, seconds(300));
  EXPECT_EQ(resolver->counters().answers, 3U);
  EXPECT_EQ(resolver->counters().in_flight, 0U);
}

TEST_F(DnsResolver, AnswersFromMemoryTheSecondTime) {
  ScriptedServer& server = add_server();
  server.add("example.org. 300 IN MX 10 mx.example.org.");
  start();
  ask_and_wait("example.org", RecordType::mx);
  const Wish& again = ask("example.org", RecordType::mx);
  EXPECT_TRUE(again.answered);
  EXPECT_EQ(again.texts(), Texts{"10 mx.example.org"});
  EXPECT_EQ(server.asked.size(), 1U);
  EXPECT_EQ(resolver->cache_counters().hits, 1U);
  EXPECT_EQ(resolver->cache_counters().misses, 1U);
}

TEST_F(DnsResolver, RemembersNoes) {
  ScriptedServer& server = add_server();
  server.add("example.org. 300 IN A 192.0.2.1");
  start();
  EXPECT_EQ(ask_and_wait("example.org", RecordType::mx).records.fate, Fate::no_data);
  EXPECT_EQ(ask_and_wait("no.example.org", RecordType::mx).records.fate, Fate::no_such_name);
  EXPECT_TRUE(ask("example.org", RecordType::mx).answered);
  const Wish& again = ask("no.example.org", RecordType::mx);
  EXPECT_TRUE(again.answered);
  EXPECT_LE(again.records.expires, io->now() + seconds(60));
  EXPECT_EQ(server.asked.size(), 2U);
}

TEST_F(DnsResolver, AsksOnceForWhatManyWantToKnow) {
  ScriptedServer& server = add_server();
  server.add("example.org. 300 IN MX 10 mx.example.org.");
  start();
  for (int i = 0; i < 50; ++i) ask("example.org", RecordType::mx);
  ASSERT_TRUE(drive([&] { return wishes.back().answered; }));
  for (const Wish& wish : wishes) EXPECT_EQ(wish.calls, 1);
  EXPECT_EQ(server.asked.size(), 1U);
  EXPECT_EQ(resolver->counters().coalesced, 49U);
}

TEST_F(DnsResolver, NeverCallsBackFromWithinALookup) {
  options.servers = {*parse_socket_address("127.0.0.1:1", 53)};
  start();
  const Wish& wish = ask("example.org", RecordType::mx);
  EXPECT_EQ(wish.calls, 0);
  ASSERT_TRUE(drive([&] { return wish.answered; }));
}

TEST_F(DnsResolver, ForgetsWhoNoLongerWantsToKnow) {
  ScriptedServer& server = add_server();
  server.add("example.org. 300 IN MX 10 mx.example.org.");
  start();
  Wish& gone = ask("example.org", RecordType::mx);
  const Wish& stays = ask("example.org", RecordType::mx);
  Resolver::cancel(gone.lookup);
  ASSERT_TRUE(drive([&] { return stays.answered; }));
  EXPECT_FALSE(gone.answered);
}

TEST_F(DnsResolver, AsksByTcpWhereAnAnswerWasCut) {
  ScriptedServer& server = add_server();
  for (int i = 0; i < 100; ++i) {
    const std::string number = std::to_string(i);
    server.add("big.example. 300 IN MX " + number + " a-rather-long-name-of-host-" + number +
               ".big.example.");
  }
  start();
  const Wish& wish = ask_and_wait("big.example", RecordType::mx);
  EXPECT_EQ(wish.records.fate, Fate::found);
  EXPECT_EQ(wish.records.count, 100);
  EXPECT_EQ(resolver->counters().truncated, 1U);
  ASSERT_EQ(server.asked.size(), 2U);
  EXPECT_FALSE(server.asked[0].tcp);
  EXPECT_TRUE(server.asked[1].tcp);
}

TEST_F(DnsResolver, KeepsATcpConnectionForTheNextQuestion) {
  ScriptedServer& server = add_server();
  server.udp_octets_max = 0;
  start();
  for (int i = 0; i < 10; ++i) {
    const std::string name = "n" + std::to_string(i) + ".example";
    server.add(name + ". 300 IN A 192.0.2.1");
    EXPECT_EQ(ask_and_wait(name, RecordType::a).records.fate, Fate::found);
  }
  EXPECT_EQ(server.connections, 1U);
}

TEST_F(DnsResolver, GetsOverServersThatCloseAfterEachAnswer) {
  ScriptedServer& server = add_server();
  server.udp_octets_max = 0;
  server.close_tcp_after_answer = true;
  start();
  for (int i = 0; i < 10; ++i) {
    const std::string name = "n" + std::to_string(i) + ".example";
    server.add(name + ". 300 IN A 192.0.2.1");
    EXPECT_EQ(ask_and_wait(name, RecordType::a).records.fate, Fate::found) << i;
  }
}

// The server gives up an idle connection just when it is to be used again.
TEST_F(DnsResolver, GetsOverConnectionsClosedWhileItAsks) {
  ScriptedServer& server = add_server();
  server.udp_octets_max = 0;
  server.script = [&](const Asked& asked) {
    if (!asked.tcp) server.close_connections();
    return false;
  };
  start();
  for (int i = 0; i < 40; ++i) {
    const std::string name = "n" + std::to_string(i) + ".example";
    server.add(name + ". 300 IN A 192.0.2.1");
    EXPECT_EQ(ask_and_wait(name, RecordType::a).records.fate, Fate::found) << i;
  }
}

TEST_F(DnsResolver, ManyQuestionsShareFewTcpConnections) {
  ScriptedServer& server = add_server();
  server.udp_octets_max = 0;
  options.tcp_connections_max = 3;
  start();
  for (int i = 0; i < 40; ++i) {
    const std::string name = "n" + std::to_string(i) + ".example";
    server.add(name + ". 300 IN A 192.0.2.1");
    ask(name, RecordType::a);
  }
  ASSERT_TRUE(drive([&] {
    return std::all_of(wishes.begin(), wishes.end(), [](const Wish& w) { return w.answered; });
  }));
  for (const Wish& wish : wishes) EXPECT_EQ(wish.records.fate, Fate::found);
  EXPECT_LE(server.connections, 3U);
}

TEST_F(DnsResolver, GoesToTheNextServerWhereTcpIsRefused) {
  ScriptedServer& first = add_server();
  first.udp_octets_max = 0;
  first.add("example.org. 300 IN A 192.0.2.1");
  first.stop_listening();
  start();
  EXPECT_EQ(ask_and_wait("example.org", RecordType::a).records.fate, Fate::failed);
  ScriptedServer& second = add_server();
  second.add("example.net. 300 IN A 192.0.2.2");
  first.add("example.net. 300 IN A 192.0.2.2");
  resolver->set_servers({first.address, second.address});
  EXPECT_EQ(ask_and_wait("example.net", RecordType::a).records.fate, Fate::found);
}

TEST_F(DnsResolver, GetsASecondOpinionOnAServerFailure) {
  ScriptedServer& sick = add_server();
  sick.script = [&](const Asked& asked) {
    sick.reply(asked, sick.answer_to(asked).rcode(2));
    return true;
  };
  ScriptedServer& well = add_server();
  well.add("example.org. 300 IN MX 10 mx.example.org.");
  start();
  EXPECT_EQ(ask_and_wait("example.org", RecordType::mx).records.fate, Fate::found);
}

TEST_F(DnsResolver, RemembersAServerFailureForAShortTime) {
  ScriptedServer& sick = add_server();
  sick.script = [&](const Asked& asked) {
    sick.reply(asked, sick.answer_to(asked).rcode(2));
    return true;
  };
  start();
  const Wish& wish = ask_and_wait("example.org", RecordType::mx);
  EXPECT_EQ(wish.records.fate, Fate::failed);
  EXPECT_EQ(wish.records.failure, Failure::refused);
  EXPECT_EQ(sick.asked.size(), 1U);
  const Wish& again = ask("example.org", RecordType::mx);
  EXPECT_TRUE(again.answered);
  EXPECT_EQ(again.records.fate, Fate::failed);
  EXPECT_LE(again.records.expires, io->now() + seconds(30));
  EXPECT_EQ(sick.asked.size(), 1U);
}

TEST_F(DnsResolver, GoesOnAtOnceWhereNobodyListens) {
  options.servers = {*parse_socket_address("127.0.0.1:1", 53)};
  ScriptedServer& server = add_server();
  server.add("example.org. 300 IN MX 10 mx.example.org.");
  options.servers.push_back(server.address);
  options.attempt_timeout = seconds(30);
  options.attempt_timeout_max = seconds(30);
  start();
  EXPECT_EQ(ask_and_wait("example.org", RecordType::mx).records.fate, Fate::found);
}

TEST_F(DnsResolver, FailsWhereNobodyListensAnywhere) {
  options.servers = {*parse_socket_address("127.0.0.1:1", 53),
                     *parse_socket_address("127.0.0.1:2", 53)};
  start();
  const Wish& wish = ask_and_wait("example.org", RecordType::mx);
  EXPECT_EQ(wish.records.fate, Fate::failed);
  EXPECT_EQ(wish.records.failure, Failure::unreachable);
}

TEST_F(DnsResolver, AsksAnotherWhenOneIsSilent) {
  ScriptedServer& silent = add_server();
  silent.script = [](const Asked&) { return true; };
  ScriptedServer& server = add_server();
  server.add("example.org. 300 IN MX 10 mx.example.org.");
  start();
  EXPECT_EQ(ask_and_wait("example.org", RecordType::mx).records.fate, Fate::found);
  EXPECT_EQ(silent.asked.size(), 1U);
  // Three silences, and it is left alone.
  for (int i = 0; i < 20; ++i) ask_and_wait("n" + std::to_string(i) + ".example", RecordType::a);
  EXPECT_LE(silent.asked.size(), 4U);
  EXPECT_EQ(server.asked.size(), 21U);
}

TEST_F(DnsResolver, TakesALateAnswerAfterAnotherWasAsked) {
  ScriptedServer& slow = add_server();
  slow.add("example.org. 300 IN MX 10 late.example.org.");
  std::vector<Asked> held;
  slow.script = [&](const Asked& asked) {
    held.push_back(asked);
    return true;
  };
  ScriptedServer& silent = add_server();
  silent.script = [](const Asked&) { return true; };
  start();
  const Wish& wish = ask("example.org", RecordType::mx);
  ASSERT_TRUE(drive([&] { return !silent.asked.empty(); }));
  ASSERT_FALSE(held.empty());
  slow.reply(held[0], slow.honest_answer(held[0]));
  ASSERT_TRUE(drive([&] { return wish.answered; }));
  EXPECT_EQ(wish.texts(), Texts{"10 late.example.org"});
}

TEST_F(DnsResolver, SpeaksTheOldWayToServersWithoutEdns) {
  ScriptedServer& old = add_server();
  old.add("example.org. 300 IN MX 10 mx.example.org.");
  old.add("example.net. 300 IN MX 10 mx.example.net.");
  old.script = [&](const Asked& asked) {
    if (!asked.edns) return false;
    old.reply(asked, Message(asked.id).rcode(1));  // not even the question repeated
    return true;
  };
  start();
  EXPECT_EQ(ask_and_wait("example.org", RecordType::mx).records.fate, Fate::found);
  EXPECT_EQ(old.asked.size(), 2U);
  EXPECT_EQ(ask_and_wait("example.net", RecordType::mx).records.fate, Fate::found);
  EXPECT_EQ(old.asked.size(), 3U);  // it is remembered
}

TEST_F(DnsResolver, SpeaksTheOldWayAfterNotImplementedToo) {
  ScriptedServer& old = add_server();
  old.add("example.org. 300 IN MX 10 mx.example.org.");
  old.script = [&](const Asked& asked) {
    if (asked.edns) old.reply(asked, old.answer_to(asked).rcode(4));
    return asked.edns;
  };
  start();
  EXPECT_EQ(ask_and_wait("example.org", RecordType::mx).records.fate, Fate::found);
}

TEST_F(DnsResolver, FollowsAliases) {
  ScriptedServer& server = add_server();
  server.add("example.org. 300 IN CNAME b.example.");
  server.add("b.example. 40 IN CNAME c.example.");
  server.add("c.example. 300 IN MX 5 mx.example.");
  start();
  const Wish& wish = ask_and_wait("example.org", RecordType::mx);
  EXPECT_EQ(wish.texts(), Texts{"5 mx.example"});
  EXPECT_LE(wish.records.expires, io->now() + seconds(40));
  EXPECT_EQ(server.asked.size(), 1U);
}

TEST_F(DnsResolver, AsksOnWhereAnAliasLeadsOutOfTheAnswer) {
  ScriptedServer& server = add_server();
  server.add("c.example. 300 IN MX 5 mx.example.");
  server.script = [&](const Asked& asked) {
    if (asked.lower == "example.org.") {
      server.reply(asked, server.answer_to(asked).answer("example.org. 40 IN CNAME b.example."));
    } else if (asked.lower == "b.example.") {
      server.reply(asked, server.answer_to(asked).answer("b.example. 300 IN CNAME c.example."));
    } else {
      return false;
    }
    return true;
  };
  start();
  const Wish& wish = ask_and_wait("example.org", RecordType::mx);
  EXPECT_EQ(wish.texts(), Texts{"5 mx.example"});
  EXPECT_LE(wish.records.expires, io->now() + seconds(40));
  EXPECT_EQ(server.asked.size(), 3U);
  EXPECT_TRUE(ask("example.org", RecordType::mx).answered);
}

TEST_F(DnsResolver, GivesUpOnAliasesThatLeadInACircle) {
  ScriptedServer& server = add_server();
  server.script = [&](const Asked& asked) {  // one link each time, for ever
    const std::string next = asked.lower == "a.example." ? "b.example." : "a.example.";
    server.reply(asked, server.answer_to(asked).answer(asked.lower + " 300 IN CNAME " + next));
    return true;
  };
  start();
  const Wish& wish = ask_and_wait("a.example", RecordType::mx);
  EXPECT_EQ(wish.records.fate, Fate::failed);
  EXPECT_EQ(wish.records.failure, Failure::alias_loop);
  EXPECT_LE(server.asked.size(), 10U);
}

// A server's receive buffer holds a few hundred questions; thousands come at once.
TEST_F(DnsResolver, ABurstDoesNotFloodTheServer) {
  ScriptedServer& server = add_server();
  options.attempt_timeout = seconds(2);
  start();
  for (int i = 0; i < 5000; ++i) ask("n" + std::to_string(i) + ".example", RecordType::a);
  ASSERT_TRUE(drive(
      [&] { return resolver->counters().in_flight == 0 && resolver->counters().waiting == 0; }));
  for (const Wish& wish : wishes) ASSERT_EQ(wish.records.fate, Fate::no_such_name);
#ifdef RINGMTA_SIMULATED  // on real sockets a busy machine lets questions time out and be repeated
  EXPECT_LT(resolver->counters().udp_sent, 6000U);
#endif
  EXPECT_GE(server.asked.size(), 5000U);
}

TEST_F(DnsResolver, WithoutEdnsLargeAnswersComeByTcpToo) {
  ScriptedServer& old = add_server();
  old.udp_octets_max = 0;
  old.add("example.org. 300 IN MX 10 mx.example.org.");
  old.script = [&](const Asked& asked) {
    if (asked.edns) old.reply(asked, old.answer_to(asked).rcode(1));
    return asked.edns;
  };
  start();
  EXPECT_EQ(ask_and_wait("example.org", RecordType::mx).records.fate, Fate::found);
}

TEST_F(DnsResolver, UsesOtherServersAfterAReload) {
  ScriptedServer& before = add_server();
  ScriptedServer& after = add_server();
  after.add("example.org. 300 IN MX 10 mx.example.org.");
  before.script = [](const Asked&) { return true; };
  options.servers = {before.address};
  start();
  const Wish& wish = ask("example.org", RecordType::mx);
  ASSERT_TRUE(drive([&] { return !before.asked.empty(); }));
  resolver->set_servers({after.address});
  ASSERT_TRUE(drive([&] { return wish.answered; }));
  EXPECT_EQ(wish.texts(), Texts{"10 mx.example.org"});
  EXPECT_EQ(resolver->servers().size(), 1U);
}

TEST_F(DnsResolver, PrefersTheFasterServerButLooksAfterTheOther) {
  ScriptedServer& slow = add_server();
  ScriptedServer& fast = add_server();
#ifdef RINGMTA_SIMULATED
  std::vector<std::pair<Monotonic, Asked>> held;
  slow.script = [&](const Asked& asked) {
    held.emplace_back(io->now() + Milliseconds{50}, asked);
    return true;
  };
  start();
  for (int i = 0; i < 500; ++i) {
    const Wish& wish = ask("n" + std::to_string(i) + ".example", RecordType::a);
    ASSERT_TRUE(drive([&] {
      for (auto& [due, asked] : held) {
        if (due <= world->now()) slow.reply(asked, slow.honest_answer(asked));
      }
      std::erase_if(held, [&](const auto& one) { return one.first <= world->now(); });
      if (!held.empty()) world->advance(held.front().first);
      return wish.answered;
    }));
  }
#else
  start();
  for (int i = 0; i < 500; ++i) ask_and_wait("n" + std::to_string(i) + ".example", RecordType::a);
#endif
  EXPECT_EQ(slow.asked.size() + fast.asked.size(), 500U);
  EXPECT_GE(slow.asked.size(), 1U);
  EXPECT_GE(fast.asked.size(), 1U);
#ifdef RINGMTA_SIMULATED
  EXPECT_GT(fast.asked.size(), 10 * slow.asked.size());
  EXPECT_GE(slow.asked.size(), 2U);
#endif
}

TEST_F(DnsResolver, FailsForWantOfServers) {
  options.servers.clear();
  resolver = std::make_unique<Resolver>(*loop, options);
  EXPECT_EQ(ask_and_wait("example.org", RecordType::mx).records.failure, Failure::unreachable);
}

#ifdef RINGMTA_SIMULATED

TEST_F(DnsResolver, RefreshesHotNamesBeforeTheyExpire) {
  ScriptedServer& server = add_server();
  server.add("hot.example. 300 IN MX 10 mx.hot.example.");
  start();
  ask_and_wait("hot.example", RecordType::mx);
  drive_for(seconds(280));
  EXPECT_TRUE(ask("hot.example", RecordType::mx).answered);  // in the last tenth
  ASSERT_TRUE(drive([&] { return server.asked.size() == 2; }));
  drive_for(seconds(60));  // the first answer is over by now
  EXPECT_TRUE(ask("hot.example", RecordType::mx).answered);
  EXPECT_EQ(server.asked.size(), 2U);
  EXPECT_EQ(resolver->cache_counters().prefetches, 1U);
}

// Who asked may go on without the answer; that there is none is remembered all the same.
TEST_F(DnsResolver, AFailureNobodyWaitedForIsRemembered) {
  add_server().script = [](const Asked&) { return true; };
  start();
  Resolver::cancel(ask("mx.example.org", RecordType::aaaa).lookup);
  ASSERT_TRUE(drive([&] { return resolver->counters().failed == 1; }));
  EXPECT_TRUE(ask("mx.example.org", RecordType::aaaa).answered);
  EXPECT_EQ(resolver->counters().questions, 1U);
}

TEST_F(DnsResolver, AFailedRefreshmentTakesNothingAway) {
  ScriptedServer& server = add_server();
  server.add("hot.example. 300 IN MX 10 mx.hot.example.");
  start();
  ask_and_wait("hot.example", RecordType::mx);
  server.script = [&](const Asked& asked) {
    server.reply(asked, server.answer_to(asked).rcode(2));
    return true;
  };
  drive_for(seconds(280));
  ask("hot.example", RecordType::mx);
  ASSERT_TRUE(drive([&] { return server.asked.size() == 2; }));
  drive_for(seconds(5));
  EXPECT_EQ(ask("hot.example", RecordType::mx).records.fate, Fate::found);
}

TEST_F(DnsResolver, AsksAgainWhenTimeIsUp) {
  ScriptedServer& server = add_server();
  server.add("example.org. 100 IN MX 10 mx.example.org.");
  start();
  ask_and_wait("example.org", RecordType::mx);
  ask_and_wait("no.example", RecordType::mx);
  drive_for(seconds(61));
  ask_and_wait("no.example", RecordType::mx);  // the SOA said 60
  EXPECT_EQ(server.count("no.example.", RecordType::mx), 2U);
  drive_for(seconds(50));
  ask_and_wait("example.org", RecordType::mx);
  EXPECT_EQ(server.count("example.org.", RecordType::mx), 2U);
}

TEST_F(DnsResolver, TimesOutAsConfigured) {
  ScriptedServer& silent = add_server();
  silent.script = [](const Asked&) { return true; };
  start();
  const Monotonic begin = io->now();
  const Wish& wish = ask_and_wait("example.org", RecordType::mx);
  EXPECT_EQ(wish.records.failure, Failure::timed_out);
  EXPECT_EQ(silent.asked.size(), 4U);
  const Milliseconds took = io->now() - begin;  // 1 + 2 + 4 + 4 seconds
  EXPECT_GE(took, seconds(11));
  EXPECT_LT(took, seconds(12));
}

TEST_F(DnsResolver, ASilentServerIsTriedAgainAfterAWhile) {
  ScriptedServer& flaky = add_server();
  flaky.script = [](const Asked&) { return true; };
  ScriptedServer& server = add_server();
  start();
  for (int i = 0; i < 60; ++i) {
    ask_and_wait("n" + std::to_string(i) + ".example", RecordType::a);
    drive_for(seconds(1));
  }
  const size_t while_silent = flaky.asked.size();
  EXPECT_LE(while_silent, 10U);
  flaky.script = nullptr;
  options.attempt_timeout = seconds(1);
  for (int i = 0; i < 300; ++i) {
    ask_and_wait("m" + std::to_string(i) + ".example", RecordType::a);
    drive_for(seconds(1));
  }
  EXPECT_GT(flaky.asked.size(), while_silent);
  EXPECT_FALSE(resolver->servers()[0].down);
  EXPECT_FALSE(server.asked.empty());
}

TEST_F(DnsResolver, ADeadServerIsLeftAlone) {
  ScriptedServer& dead = add_server();
  dead.script = [](const Asked&) { return true; };
  add_server();
  start();
  for (int i = 0; i < 5000; ++i) ask_and_wait("n" + std::to_string(i) + ".example", RecordType::a);
  EXPECT_GE(dead.asked.size(), 3U);
  EXPECT_LE(dead.asked.size(), 8U);
}

TEST_F(DnsResolver, SlowQuestionsGiveWayToYoungerOnes) {
  ScriptedServer& server = add_server();
  server.add("alive.example. 300 IN A 192.0.2.1");
  server.script = [](const Asked& asked) { return asked.lower != "alive.example."; };
  options.queries_max = 10;
  start();
  for (int i = 0; i < 30; ++i) ask("dead" + std::to_string(i) + ".example", RecordType::a);
  const Wish& alive = ask("alive.example", RecordType::a);
  EXPECT_EQ(resolver->counters().in_flight, 10U);
  EXPECT_EQ(resolver->counters().waiting, 21U);
  const Monotonic begin = io->now();
  ASSERT_TRUE(drive([&] { return alive.answered; }));
  EXPECT_EQ(alive.records.fate, Fate::found);
  EXPECT_LT(io->now() - begin, seconds(5));  // not 3 times the 11 seconds a dead one takes
  EXPECT_GE(resolver->counters().gave_way, 20U);
  ASSERT_TRUE(drive([&] { return resolver->counters().in_flight == 0; }));
  for (const Wish& wish : wishes) EXPECT_EQ(wish.calls, 1);
}

TEST_F(DnsResolver, IsBounded) {
  ScriptedServer& silent = add_server();
  silent.script = [](const Asked&) { return true; };
  options.queries_max = 5;
  options.waiting_max = 5;
  start();
  for (int i = 0; i < 10; ++i) ask("n" + std::to_string(i) + ".example", RecordType::a);
  const Wish& refused = ask("m.example", RecordType::a);
  ASSERT_TRUE(refused.answered);
  EXPECT_EQ(refused.records.failure, Failure::overloaded);
  EXPECT_EQ(resolver->counters().overloaded, 1U);
  EXPECT_FALSE(ask("n1.example", RecordType::a).answered);  // joins one under way
  ASSERT_TRUE(drive([&] { return wishes[9].answered; }));
  ASSERT_TRUE(drive([&] { return resolver->counters().in_flight == 0; }));
  silent.script = nullptr;
  EXPECT_EQ(ask_and_wait("m.example", RecordType::a).records.fate, Fate::no_such_name);
}

TEST_F(DnsResolver, ReadsTcpInWhateverPieces) {
  world->network().segment_octets_max = 1;
  ScriptedServer& server = add_server();
  server.udp_octets_max = 0;
  server.add("example.org. 300 IN MX 10 mx.example.org.");
  start();
  EXPECT_EQ(ask_and_wait("example.org", RecordType::mx).records.fate, Fate::found);
}

TEST_F(DnsResolver, GetsOverResetsOfTcpConnections) {
  ScriptedServer& server = add_server();
  ScriptedServer& other = add_server();
  server.udp_octets_max = 0;
  other.udp_octets_max = 0;
  start();
  for (uint64_t octets = 1; octets < 100; octets += 7) {
    world->reset_after(server.address, octets);
    const std::string name = "n" + std::to_string(octets) + ".example";
    server.add(name + ". 300 IN A 192.0.2.1");
    other.add(name + ". 300 IN A 192.0.2.1");
    EXPECT_EQ(ask_and_wait(name, RecordType::a).records.fate, Fate::found) << octets;
    drive_for(seconds(10));  // kept connections are closed
  }
}

#endif

}  // namespace
}  // namespace ringmta::dns
