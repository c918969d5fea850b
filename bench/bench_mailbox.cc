// SPDX-License-Identifier: GPL-3.0-or-later
// What a letter between shards costs: alone in one thread, and handed from thread to thread.
#include <benchmark/benchmark.h>

#include <atomic>
#include <thread>

#include "ringmta/shard/mailbox.h"

namespace {

using ringmta::shard::Mailbox;

struct Letter {
  uint64_t kind;
  void* what;
};

// Push and pop without any other core: the floor.
void mailbox_same_thread(benchmark::State& state) {
  Mailbox<Letter> mailbox(4096);
  Letter letter{1, nullptr};
  for (auto _ : state) {
    mailbox.push(letter);
    mailbox.pop(letter);
    benchmark::DoNotOptimize(letter);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(mailbox_same_thread);

// A batch goes to another thread, which must have taken it all before the next one is sent.
void mailbox_two_threads(benchmark::State& state) {
  const auto batch = static_cast<uint64_t>(state.range(0));
  Mailbox<Letter> mailbox(4096);
  std::atomic<bool> stop{false};
  alignas(64) std::atomic<uint64_t> taken{0};
  std::thread consumer([&] {
    uint64_t count = 0;
    Letter letter{};
    while (!stop.load(std::memory_order_relaxed)) {
      if (mailbox.pop(letter)) {
        ++count;
      } else {
        taken.store(count, std::memory_order_release);
        std::this_thread::yield();
      }
    }
  });
  uint64_t sent = 0;
  for (auto _ : state) {
    for (uint64_t i = 0; i < batch; ++i) {
      while (!mailbox.push({i, nullptr})) std::this_thread::yield();
    }
    sent += batch;
    while (taken.load(std::memory_order_acquire) < sent) std::this_thread::yield();
  }
  stop.store(true);
  consumer.join();
  state.SetItemsProcessed(static_cast<int64_t>(sent));
}
BENCHMARK(mailbox_two_threads)->Arg(1)->Arg(64)->Arg(1024)->UseRealTime();

// What every post costs the producer beside the push: the look at the consumer's bell.
void doorbell_look(benchmark::State& state) {
  ringmta::shard::Doorbell doorbell;
  for (auto _ : state) benchmark::DoNotOptimize(doorbell.must_ring());
}
BENCHMARK(doorbell_look);

}  // namespace

BENCHMARK_MAIN();
