// SPDX-License-Identifier: GPL-3.0-or-later
// Recording takes no memory from the heap once the chunks are there: this program counts every
// operator new.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "outcomes.h"
#include "ringmta/events/writer.h"
#include "scripted_io.h"

namespace {
std::atomic<uint64_t> allocations{0};
}  // namespace

// Not inlined: the compiler would see malloc() meet operator delete and warn.
[[gnu::noinline]] void* operator new(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new[](size_t size) { return operator new(size); }
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

namespace ringmta::events {
namespace {

TEST(Allocation, RecordingAllocatesNothing) {
  ring::ScriptedDisk disk;
  const auto io = std::move(*ring::Io::create({}));
  io->impl().disk = &disk;
  shard::Loop loop(*io);
  const EventOptions options{"/events.jsonl", 1 << 24, Milliseconds{0}};
  const auto writer = std::move(*Writer::create(loop, options, "relay.example.com", ShardId{0}));
  loop.handle(shard::Owner::events, writer.get(), [](void* self, const ring::Event& event) {
    static_cast<Writer*>(self)->on_event(event);
  });
  loop.add_stage(writer.get(), [](void* self) { return static_cast<Writer*>(self)->flush(); });
  Sample delivered(queue::Outcome::Kind::delivered), deferred(queue::Outcome::Kind::deferred);
  delivered.with_attempt();
  deferred.with_attempt().job.peer = ipv6("2001:db8::25", 25);
  deferred.outcome.next_attempt = {kArrivalMs};
  uint64_t while_recording = 0;
  for (int turn = 0; turn < 100; ++turn) {
    const uint64_t before = allocations;
    for (int i = 0; i < 100; ++i) {
      writer->record(delivered.outcome);
      writer->record(deferred.outcome);
    }
    if (turn >= 3) while_recording += allocations - before;  // by then the chunks take turns
    loop.turn(loop.now());
  }
  while (!writer->idle()) loop.turn(loop.now());
  // The list of chunks takes a node for some dozens of them, hence not none at all.
  EXPECT_LT(while_recording, 100u);
  EXPECT_GT(writer->counters().written, 15'000u);
}

}  // namespace
}  // namespace ringmta::events
