// SPDX-License-Identifier: GPL-3.0-or-later
// Bad weather, by seed: datagrams lost, doubled and overtaken, servers that come and go, answers
// that are late or lies. Whatever happens, each question is settled once, and never wrongly.
#include "rig.h"
#include "ringmta/base/prng.h"

namespace ringmta::dns {
namespace {

class Weather : public Rig, public ::testing::WithParamInterface<uint64_t> {
 protected:
  void SetUp() override {
    world_options.seed = GetParam();
    world_options.network.datagram_loss_one_in = 6;
    world_options.network.datagram_double_one_in = 5;
    world_options.network.latency_us_max = 40'000;
    world_options.network.segment_octets_max = 50;
    world_options.network.reset_one_in = 300;
    Rig::SetUp();
  }
  void TearDown() override {
    mx.reset();
    Rig::TearDown();
  }
};

INSTANTIATE_TEST_SUITE_P(Seeds, Weather, ::testing::Range<uint64_t>(1, 41));

// Each name's address is made of its number, so a wrong answer is seen.
std::string address_of(int number) {
  return "10.0." + std::to_string(number / 250) + "." + std::to_string(number % 250 + 1);
}

TEST_P(Weather, EveryQuestionIsSettledOnceAndNeverWrongly) {
  Prng prng(GetParam());
  for (int i = 0; i < 3; ++i) {
    ScriptedServer& server = add_server();
    server.udp_octets_max = i == 1 ? 60 : 1232;  // one of them loves TCP
    server.script = [&server, &prng](const Asked& asked) {
      switch (prng.below(12)) {
        case 0:
          return true;  // silence
        case 1:
          server.reply(asked, server.answer_to(asked).rcode(2));
          return true;
        case 2: {
          Asked wrong = asked;
          wrong.id ^= 0x55;
          server.reply(wrong, server.honest_answer(wrong));
          return false;
        }
        case 3: {
          std::string octets = server.honest_answer(asked);
          octets.resize(prng.below(octets.size()));
          server.reply(asked, octets);
          return true;
        }
        default:
          return false;
      }
    };
    for (int number = 0; number < 300; ++number) {
      const std::string name = "n" + std::to_string(number) + ".example.";
      if (number % 3 == 0) {
        server.add(name + " 300 IN A " + address_of(number));
      } else if (number % 3 == 1) {
        server.add(name + " 300 IN TXT nothing");
      }
    }
  }
  options.queries_max = 50;
  start();
  std::vector<std::pair<int, Wish*>> asked;
  for (int round = 0; round < 500; ++round) {
    const int number = static_cast<int>(prng.below(300));
    asked.emplace_back(number, &ask("n" + std::to_string(number) + ".example", RecordType::a));
    if (prng.below(4) == 0) drive_for(Milliseconds{static_cast<int64_t>(prng.below(100))});
  }
  ASSERT_TRUE(drive(
      [&] { return resolver->counters().in_flight == 0 && resolver->counters().waiting == 0; }));
  drive_for(seconds(20));  // nothing comes a second time
  int failed = 0;
  for (const auto& [number, wish] : asked) {
    ASSERT_EQ(wish->calls, 1);
    if (wish->records.fate == Fate::failed) {
      ++failed;
      continue;
    }
    if (number % 3 == 0) {
      ASSERT_EQ(wish->texts(), Texts{address_of(number)});
    } else {
      ASSERT_EQ(wish->records.fate, number % 3 == 1 ? Fate::no_data : Fate::no_such_name);
    }
  }
  EXPECT_LT(failed, 125);
  EXPECT_LE(io->datagrams_open(), 3U * 16U);
}

TEST(WeatherRepeats, BySeed) {
  const auto history = [](uint64_t seed) {
    sim::WorldOptions options;
    options.seed = seed;
    options.network.datagram_loss_one_in = 5;
    options.network.datagram_double_one_in = 5;
    sim::World world(options);
    ScriptedServer server;
    world.drive(*server.io, &server,
                [](void* self) { static_cast<ScriptedServer*>(self)->turn(Monotonic::never()); });
    const std::unique_ptr<ring::Io> io = std::move(*ring::Io::create({}));
    shard::Loop loop(*io);
    ResolverOptions resolver_options;
    resolver_options.servers = {server.address};
    Resolver resolver(loop, resolver_options);
    loop.handle(shard::Owner::dns, &resolver, [](void* self, const ring::Event& event) {
      static_cast<Resolver*>(self)->on_event(event);
    });
    loop.add_stage(&resolver, [](void* self) { return static_cast<Resolver*>(self)->run(); });
    world.drive(*io, &loop, [](void* self) { static_cast<shard::Loop*>(self)->turn(); });
    Lookup lookups[50];
    for (int i = 0; i < 50; ++i) {
      lookups[i].done = [](void*, Lookup&, const RecordSet&) {};
      resolver.lookup(*Name::parse("n" + std::to_string(i)), RecordType::a, lookups[i]);
    }
    world.run_for(seconds(60));
    return world.trace();
  };
  EXPECT_EQ(history(3), history(3));
  EXPECT_NE(history(3), history(4));
}

}  // namespace
}  // namespace ringmta::dns
