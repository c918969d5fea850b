// SPDX-License-Identifier: GPL-3.0-or-later
// The resolver among servers and strangers that mean harm: over real sockets and in the simulator.
#include <set>

#include "rig.h"

namespace ringmta::dns {
namespace {

class Hostile : public Rig {
 protected:
  void SetUp() override {
    Rig::SetUp();
#ifndef RINGMTA_SIMULATED
    options.attempt_timeout = Milliseconds{500};
#endif
  }
  static std::string genuine(ScriptedServer& server, const Asked& asked) {
    return server.answer_to(asked).answer(asked.name + " 300 IN MX 10 genuine.example.").octets();
  }
  static Message forged(const Asked& asked) {
    return Message(asked.id)
        .question(asked.name, asked.type)
        .answer(asked.name + " 300 IN MX 0 evil.example.");
  }
};

TEST_F(Hostile, AWrongIdIsNotBelieved) {
  ScriptedServer& server = add_server();
  server.script = [&](const Asked& asked) {
    Asked guessed = asked;
    for (uint16_t i = 1; i <= 5; ++i) {
      guessed.id = static_cast<uint16_t>(asked.id + i);
      server.reply(asked, forged(guessed));
    }
    server.reply(asked, genuine(server, asked));
    return true;
  };
  start();
  EXPECT_EQ(ask_and_wait("example.org", RecordType::mx).texts(), Texts{"10 genuine.example"});
  drive_for(Milliseconds{50});  // those that overtook count at once, the others later
  EXPECT_EQ(resolver->counters().stray, 5U);
}

TEST_F(Hostile, AWrongQuestionIsNotBelieved) {
  ScriptedServer& server = add_server();
  server.script = [&](const Asked& asked) {
    Asked other = asked;
    other.name = "example.com.";
    server.reply(asked, forged(other));
    other.name = asked.name;
    other.type = RecordType::a;
    server.reply(asked, Message(asked.id).question(asked.name, RecordType::a));
    server.reply(asked, Message(asked.id));  // no question at all
    server.reply(asked, asked.raw);          // our own question
    server.reply(asked, std::string("short"));
    server.reply(asked, std::string());
    return true;
  };
  start();
  const Wish& wish = ask("example.org", RecordType::mx);
  ASSERT_TRUE(drive([&] { return resolver->counters().stray >= 6; }));
  EXPECT_FALSE(wish.answered);
  server.script = [&](const Asked& asked) {
    server.reply(asked, genuine(server, asked));
    return true;
  };
  ASSERT_TRUE(drive([&] { return wish.answered; }));
  EXPECT_EQ(wish.texts(), Texts{"10 genuine.example"});
}

TEST_F(Hostile, StrangersAreNotHeard) {
  ScriptedServer& server = add_server();
  ScriptedServer& stranger = add_server();
  options.servers = {server.address};
  server.script = [&](const Asked& asked) {
    stranger.send_from_here(asked.from, forged(asked).octets());  // even with the right id
    return true;
  };
  start();
  const Wish& wish = ask("example.org", RecordType::mx);
  ASSERT_TRUE(drive([&] { return server.asked.size() >= 2; }));
  EXPECT_FALSE(wish.answered);
  EXPECT_EQ(resolver->counters().stray, 0U);
}

TEST_F(Hostile, WhoGuessesTooOftenMakesUsAskByTcp) {
  ScriptedServer& server = add_server();
  server.script = [&](const Asked& asked) {
    if (asked.tcp) {
      server.reply(asked, genuine(server, asked));
      return true;
    }
    Asked guessed = asked;
    for (uint16_t i = 1; i <= 40; ++i) {
      guessed.id = static_cast<uint16_t>(asked.id + i);
      server.reply(asked, forged(guessed));
    }
    guessed.id = asked.id;
    return true;
  };
  start();
  EXPECT_EQ(ask_and_wait("example.org", RecordType::mx).texts(), Texts{"10 genuine.example"});
  EXPECT_GE(resolver->counters().suspected, 1U);
  EXPECT_TRUE(server.asked.back().tcp);
}

TEST_F(Hostile, IdsAndPortsDoNotRepeat) {
  ScriptedServer& server = add_server();
  start();
#ifdef RINGMTA_SIMULATED
  constexpr size_t kQuestions = 3000;
#else
  constexpr size_t kQuestions = 300;
#endif
  for (size_t i = 0; i < kQuestions; ++i) {
    ask_and_wait("n" + std::to_string(i) + ".example", RecordType::a);
  }
  std::set<uint16_t> ids;
  std::set<uint16_t> ports;
  std::map<uint16_t, int> by_port;
  for (const Asked& asked : server.asked) {
    ids.insert(asked.id);
    ports.insert(asked.from.port());
    ++by_port[asked.from.port()];
  }
  EXPECT_GE(ids.size(), kQuestions * 95 / 100);  // of 65536: a double now and then
  EXPECT_GE(ports.size(), 15U);
#ifdef RINGMTA_SIMULATED
  EXPECT_GE(ports.size(), 40U);
  for (const auto& [port, uses] : by_port) EXPECT_LE(uses, 128) << port;  // twice drawn: twice 64
#endif
  int in_order = 0;
  for (size_t i = 1; i < server.asked.size(); ++i) {
    if (server.asked[i].id == static_cast<uint16_t>(server.asked[i - 1].id + 1)) ++in_order;
  }
  EXPECT_LE(in_order, 5);
}

#ifdef RINGMTA_SIMULATED
TEST_F(Hostile, APortIsNotUsedForLong) {
  ScriptedServer& server = add_server();
  start();
  std::map<uint16_t, std::pair<Monotonic, Monotonic>> used;
  for (int i = 0; i < 300; ++i) {
    ask_and_wait("n" + std::to_string(i) + ".example", RecordType::a);
    const auto [entry, fresh] =
        used.try_emplace(server.asked.back().from.port(), io->now(), io->now());
    entry->second.second = io->now();
    drive_for(seconds(1));
  }
  EXPECT_GT(used.size(), 100U);
  size_t long_used = 0;
  for (const auto& [port, times] : used) {
    if (times.second - times.first > seconds(11)) ++long_used;
  }
  EXPECT_LE(long_used, 2U);  // drawn twice
}
#endif

TEST_F(Hostile, CapitalsAreMixedAndMustComeBack) {
  ScriptedServer& server = add_server();
  server.add("a-long-name-with-many-letters.example. 300 IN MX 10 mx.example.");
  options.random_capitals = true;
  start();
  const std::string name = "a-long-name-with-many-letters.example";
  EXPECT_EQ(ask_and_wait(name, RecordType::mx).records.fate, Fate::found);
  EXPECT_NE(server.asked[0].name, server.asked[0].lower);
  EXPECT_EQ(server.asked.size(), 1U);
}

TEST_F(Hostile, AnswersWithoutTheCapitalsAreCheckedByTcp) {
  ScriptedServer& server = add_server();
  server.script = [&](const Asked& asked) {
    Asked flattened = asked;
    flattened.name = asked.lower;
    if (asked.tcp) {
      server.reply(asked, genuine(server, flattened));
    } else {
      server.reply(asked, forged(flattened));
    }
    return true;
  };
  options.random_capitals = true;
  start();
  EXPECT_EQ(ask_and_wait("a-long-name-with-many-letters.example", RecordType::mx).texts(),
            Texts{"10 genuine.example"});
}

TEST_F(Hostile, RecordsNobodyAskedForAreNotRemembered) {
  ScriptedServer& server = add_server();
  server.add("victim.example. 300 IN MX 10 mx.victim.example.");
  server.script = [&](const Asked& asked) {
    if (asked.lower != "evil.example.") return false;
    server.reply(asked, server.answer_to(asked)
                            .answer("evil.example. 300 IN MX 10 mx.evil.example.")
                            .answer("victim.example. 86400 IN MX 0 mx.evil.example.")
                            .authority("victim.example. 86400 IN MX 0 mx.evil.example.")
                            .additional("victim.example. 86400 IN MX 0 mx.evil.example."));
    return true;
  };
  start();
  EXPECT_EQ(ask_and_wait("evil.example", RecordType::mx).texts(), Texts{"10 mx.evil.example"});
  EXPECT_EQ(ask_and_wait("victim.example", RecordType::mx).texts(), Texts{"10 mx.victim.example"});
}

TEST_F(Hostile, MalformedAnswersFailAndAreRemembered) {
  ScriptedServer& server = add_server();
  server.script = [&](const Asked& asked) {
    std::string octets = server.answer_to(asked).octets();
    octets[7] = 100;  // a hundred answers that are not there
    server.reply(asked, octets);
    return true;
  };
  start();
  const Wish& wish = ask_and_wait("example.org", RecordType::mx);
  EXPECT_EQ(wish.records.failure, Failure::malformed);
  EXPECT_TRUE(ask("example.org", RecordType::mx).answered);
  EXPECT_EQ(server.asked.size(), 1U);
}

TEST_F(Hostile, ThousandsOfRecordsOverTcpAreRefused) {
  ScriptedServer& server = add_server();
  server.udp_octets_max = 0;
  for (int i = 0; i < 2000; ++i) {
    server.add("huge.example. 300 IN A 192.0." + std::to_string(i / 250) + "." +
               std::to_string(i % 250));
  }
  start();
  EXPECT_EQ(ask_and_wait("huge.example", RecordType::a).records.failure, Failure::malformed);
  server.add("small.example. 300 IN A 192.0.2.1");
  EXPECT_EQ(ask_and_wait("small.example", RecordType::a).records.fate, Fate::found);
}

TEST_F(Hostile, TruncationOverTcpIsNonsense) {
  ScriptedServer& server = add_server();
  server.script = [&](const Asked& asked) {
    server.reply(asked, server.answer_to(asked).truncated());
    return true;
  };
  start();
  EXPECT_EQ(ask_and_wait("example.org", RecordType::mx).records.failure, Failure::malformed);
  EXPECT_EQ(server.asked.size(), 2U);
}

TEST_F(Hostile, NonsenseOverTcpIsRefused) {
  ScriptedServer& server = add_server();
  server.script = [&](const Asked& asked) {
    if (!asked.tcp) {
      server.reply(asked, server.answer_to(asked).truncated());
      return true;
    }
    if (asked.lower == "id.example.") {
      server.reply(asked,
                   Message(static_cast<uint16_t>(asked.id + 1)).question(asked.name, asked.type));
    } else if (asked.lower == "empty.example.") {
      server.reply(asked, std::string());
    } else if (asked.lower == "short.example.") {
      server.reply(asked, std::string("x"));
    } else if (asked.lower == "noise.example.") {
      server.reply(asked, std::string(60'000, '\xFF'));
    } else {
      server.reply(asked, genuine(server, asked));
      server.reply(asked, genuine(server, asked));  // and once more, unasked
    }
    return true;
  };
  start();
  for (const char* name : {"id.example", "empty.example", "short.example", "noise.example"}) {
    EXPECT_EQ(ask_and_wait(name, RecordType::mx).records.failure, Failure::malformed) << name;
  }
  for (int i = 0; i < 5; ++i) {
    const std::string name = "twice" + std::to_string(i) + ".example";
    EXPECT_EQ(ask_and_wait(name, RecordType::mx).texts(), Texts{"10 genuine.example"});
  }
}

// What comes behind an answer must not be taken for the beginning of the next one.
TEST_F(Hostile, TrailingOctetsOverTcpEndTheConnection) {
  ScriptedServer& server = add_server();
  server.udp_octets_max = 0;
  start();
  size_t number = 0;
  for (const char* trailer : {"x", "xx", "a longer one"}) {
    server.tcp_trailer = trailer;
    for (int i = 0; i < 4; ++i) {
      const std::string name = "n" + std::to_string(number++) + ".example";
      server.add(name + ". 300 IN A 192.0.2.1");
      EXPECT_NE(ask_and_wait(name, RecordType::a).records.failure, Failure::malformed) << name;
    }
  }
  EXPECT_GE(server.connections, 6U);
}

TEST_F(Hostile, ASilentTcpServerEndsByTheTimeout) {
  ScriptedServer& server = add_server();
  server.script = [&](const Asked& asked) {
    if (!asked.tcp) server.reply(asked, server.answer_to(asked).truncated());
    return true;
  };
  options.tcp_timeout = Milliseconds{300};
  start();
  EXPECT_EQ(ask_and_wait("example.org", RecordType::mx).records.failure, Failure::timed_out);
}

// Every octet of an answer damaged in turn, over UDP: something is always settled, and nothing
// forged is believed for longer than this answer.
TEST_F(Hostile, DamagedAnswersAlwaysEndSomehow) {
  ScriptedServer& server = add_server();
  size_t damaged = 0;
  server.script = [&](const Asked& asked) {
    std::string octets = genuine(server, asked);
    if (asked.lower.starts_with("n")) {
      const size_t at = 2 + damaged++ % (octets.size() - 2);
      octets[at] = static_cast<char>(~octets[at]);
    }
    server.reply(asked, octets);
    return true;
  };
  options.attempt_timeout = Milliseconds{20};
  options.attempt_timeout_max = Milliseconds{20};
  options.tcp_timeout = Milliseconds{50};
  start();
  for (int i = 0; i < 120; ++i) ask("n" + std::to_string(i) + ".example", RecordType::mx);
  ASSERT_TRUE(drive([&] {
    return std::all_of(wishes.begin(), wishes.end(), [](const Wish& w) { return w.answered; });
  }));
  EXPECT_EQ(resolver->counters().in_flight, 0U);
  EXPECT_EQ(ask_and_wait("good.example", RecordType::mx).texts(), Texts{"10 genuine.example"});
}

}  // namespace
}  // namespace ringmta::dns
