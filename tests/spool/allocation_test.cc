// SPDX-License-Identifier: GPL-3.0-or-later
// A message's way through the spool takes no memory from the heap once the pools are there: this
// program counts every operator new. (What the Io below does for a write is its own affair.)
#include <atomic>
#include <cstdlib>
#include <new>

#include "directory.h"

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

namespace ringmta::spool {
namespace {

class Allocation : public SpoolTest {
 protected:
  template <typename Act>
  void counted(Act act) {
    const uint64_t before = allocations;
    act();
    while_counting += allocations - before;
  }
  uint64_t while_counting = 0;
};

TEST_F(Allocation, IsNotNeededForMessages) {
  options.segment_size = 1'048'576;
  Keeper keeper(options);
  ASSERT_TRUE(keeper.start());
  Spool& spool = *keeper.spool;
  const std::string content(900, 'x');
  const std::string big(70'000, 'y');
  const std::string_view piece = content;
  smtp::RecipientView recipient;
  recipient.address = "someone@example.org";
  MessageHead head;
  head.envelope.reverse_path = "sender@example.com";
  head.envelope.recipients = {&recipient, 1};
  std::vector<StoredHandle> stored;
  std::vector<iovec> parts;
  stored.reserve(100);
  parts.reserve(100);
  keeper.done.reserve(1000);
  for (int round = 0; round < 600; ++round) {
    if (round == 300) while_counting = 0;  // by now everything is as big as it gets
    stored.clear();
    counted([&] {
      for (uint64_t i = 0; i < 30; ++i) {
        stored.push_back(spool.store(spool.next_id(), head, "Received: x\r\n", {&piece, 1}, i));
      }
      Gathering* gathering = spool.gather();
      for (int n = 0; n < 3; ++n) spool.gather_append(*gathering, big);
      stored.push_back(
          spool.store_gathered(spool.next_id(), head, "Received: x\r\n", gathering, 99));
    });
    keeper.done.clear();
    ASSERT_TRUE(keeper.drive([&] { return keeper.done.size() == stored.size(); }));
    counted([&] {
      for (size_t i = 0; i < stored.size(); ++i) {
        parts.clear();
        spool.pin(stored[i]);
        spool.parts(stored[i], true, parts);
        spool.unpin(stored[i]);
        const RecipientState state{0, Fate::pending, false, 1, {1'800'000'000'000}};
        if (i % 3 == 0) spool.record_states(stored[i], {&state, 1});
        spool.finish(stored[i]);
      }
    });
  }
  EXPECT_EQ(while_counting, 0U);
  EXPECT_GT(spool.counters().recycled_segments, 50U);
}

}  // namespace
}  // namespace ringmta::spool
