// SPDX-License-Identifier: GPL-3.0-or-later
// Once warm, a message passes the pool without an allocation. A program of its own, since it counts
// every operator new.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "lean_world.h"

namespace {
uint64_t allocations = 0;
}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace ringmta::client {
namespace {

uint64_t allocations_of_warm_messages(LeanWorld& world) {
  LeanShard shard(world);
  shard.deliver(10'000);
  const uint64_t before = allocations;
  shard.deliver(10'000);
  EXPECT_EQ(world.delivered, 20'000U);
  return allocations - before;
}

TEST(Allocation, NoneByData) {
  LeanWorld world;
  EXPECT_EQ(allocations_of_warm_messages(world), 0U);
}

TEST(Allocation, NoneByBdat) {
  LeanWorld world;
  world.chunking = true;
  EXPECT_EQ(allocations_of_warm_messages(world), 0U);
}

TEST(Allocation, NoneInLockStep) {
  LeanWorld world;
  world.ehlo = "250 mx.example.net\r\n";
  EXPECT_EQ(allocations_of_warm_messages(world), 0U);
}

}  // namespace
}  // namespace ringmta::client
