// SPDX-License-Identifier: GPL-3.0-or-later
// What a message costs on its way through the pool: its job taken from the queue, begun, put into
// sends, its replies judged, given back. An item is a message. The world around is the leanest
// there can be (tests/client/lean_world.h): peers that answer in the next turn, for a fraction of
// what is measured, no kernel.
//
// Claim: about a microsecond, of the 8 that a message may take in user space in all; one write per
// message by DATA, less by BDAT (`sends`, per message).
#include <benchmark/benchmark.h>

#include "../tests/client/lean_world.h"

namespace ringmta::client {
namespace {

void deliver(benchmark::State& state, LeanWorld& world) {
  constexpr uint64_t kBatch = 1000;
  LeanShard shard(world);
  shard.deliver(kBatch);
  const uint64_t sends = world.sends;
  const uint64_t connects = world.connects;
  uint64_t messages = 0;
  for (auto _ : state) {
    shard.deliver(kBatch);
    messages += kBatch;
  }
  state.SetItemsProcessed(static_cast<int64_t>(messages));
  const auto per_message = [&](uint64_t count) {
    return static_cast<double>(count) / static_cast<double>(messages);
  };
  state.counters["sends"] = per_message(world.sends - sends);
  state.counters["connects"] = per_message(world.connects - connects);
  if (world.other_verdicts > 0) state.SkipWithError("not all was delivered");
}

// A backlog over 50 connections by DATA: each envelope right behind the last message's dot.
void data_backlog(benchmark::State& state) {
  LeanWorld world;
  deliver(state, world);
}
BENCHMARK(data_backlog);

void bdat_backlog(benchmark::State& state) {
  LeanWorld world;
  world.chunking = true;
  deliver(state, world);
}
BENCHMARK(bdat_backlog);

void lock_step_backlog(benchmark::State& state) {
  LeanWorld world;
  world.ehlo = "250 mx.example.net\r\n";
  deliver(state, world);
}
BENCHMARK(lock_step_backlog);

void one_message_per_connection(benchmark::State& state) {
  LeanWorld world;
  world.messages_per_connection_max = 1;
  deliver(state, world);
}
BENCHMARK(one_message_per_connection);

// One message at a time: every one begins and ends in idleness.
void trickle(benchmark::State& state) {
  LeanWorld world;
  LeanShard shard(world);
  shard.deliver(1000);
  for (auto _ : state) shard.deliver(1);
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
}
BENCHMARK(trickle);

}  // namespace
}  // namespace ringmta::client

BENCHMARK_MAIN();
