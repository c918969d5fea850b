// SPDX-License-Identifier: GPL-3.0-or-later
// The slot pool: stale handles are seen, pointers stay, the limit holds, everything is destroyed.
#include "ringmta/base/slot_pool.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace ringmta {
namespace {

struct Counted {
  explicit Counted(int n) : number(n) { ++alive; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --alive; }
  int number;
  static inline int alive = 0;
};
using Pool = SlotPool<Counted, 4>;

TEST(SlotPool, FindsWhatItHolds) {
  Pool pool(10);
  SlotHandle first;
  SlotHandle second;
  Counted* one = pool.take(first, 1);
  Counted* two = pool.take(second, 2);
  EXPECT_EQ(pool.find(first), one);
  EXPECT_EQ(&pool.get(second), two);
  EXPECT_EQ(pool.get(second).number, 2);
  EXPECT_EQ(pool.size(), 2U);
}

TEST(SlotPool, SeesAStaleHandle) {
  Pool pool(10);
  SlotHandle old;
  pool.take(old, 1);
  pool.release(old);
  EXPECT_EQ(pool.find(old), nullptr);
  SlotHandle fresh;
  pool.take(fresh, 2);
  EXPECT_EQ(fresh.index, old.index);
  EXPECT_EQ(pool.find(old), nullptr);
  EXPECT_NE(pool.find(fresh), nullptr);
}

TEST(SlotPool, FindsNothingBeyondItsSlots) {
  Pool pool(10);
  EXPECT_EQ(pool.find({0, 0}), nullptr);
  EXPECT_EQ(pool.find({1000, 0}), nullptr);
}

TEST(SlotPool, AnswersNullAtTheLimitAndGoesOnAfterARelease) {
  Pool pool(5);
  std::vector<SlotHandle> handles(5);
  for (SlotHandle& handle : handles) ASSERT_NE(pool.take(handle, 0), nullptr);
  SlotHandle extra;
  EXPECT_EQ(pool.take(extra, 0), nullptr);
  pool.release(handles[2]);
  EXPECT_NE(pool.take(extra, 0), nullptr);
}

TEST(SlotPool, NeverMovesAnObject) {
  Pool pool(1000);
  SlotHandle first;
  Counted* where = pool.take(first, 42);
  SlotHandle more;
  for (int i = 0; i < 500; ++i) pool.take(more, i);
  EXPECT_EQ(pool.find(first), where);
  EXPECT_EQ(where->number, 42);
}

TEST(SlotPool, GivesEverySlotOnce) {
  Pool pool(100);
  std::set<uint32_t> indices;
  SlotHandle handle;
  for (int i = 0; i < 100; ++i) {
    ASSERT_NE(pool.take(handle, i), nullptr);
    indices.insert(handle.index);
  }
  EXPECT_EQ(indices.size(), 100U);
}

TEST(SlotPool, DestroysWhatIsReleasedAndWhatIsLeft) {
  {
    Pool pool(10);
    SlotHandle first;
    SlotHandle second;
    pool.take(first, 1);
    pool.take(second, 2);
    pool.release(first);
    EXPECT_EQ(Counted::alive, 1);
  }
  EXPECT_EQ(Counted::alive, 0);
}

TEST(SlotPool, VisitsTheLivingInSlotOrderAndMayReleaseThem) {
  Pool pool(10);
  std::vector<SlotHandle> handles(6);
  for (size_t i = 0; i < handles.size(); ++i) pool.take(handles[i], static_cast<int>(i));
  pool.release(handles[1]);
  std::vector<int> seen;
  pool.for_each([&](Counted& item, SlotHandle handle) {
    seen.push_back(item.number);
    pool.release(handle);
  });
  EXPECT_EQ(seen, (std::vector<int>{0, 2, 3, 4, 5}));
  EXPECT_EQ(pool.size(), 0U);
}

TEST(SlotPool, VisitsASliceOfItsSlots) {
  Pool pool(10);
  std::vector<SlotHandle> handles(8);
  for (size_t i = 0; i < handles.size(); ++i) pool.take(handles[i], static_cast<int>(i));
  std::vector<int> seen;
  auto note = [&](Counted& item, SlotHandle) { seen.push_back(item.number); };
  pool.for_each_from(2, 3, note);
  pool.for_each_from(7, 100, note);
  pool.for_each_from(100, 3, note);
  EXPECT_EQ(seen, (std::vector<int>{2, 3, 4, 7}));
}

TEST(SlotPool, DiesWhenAStaleHandleIsReleased) {
  Pool pool(10);
  SlotHandle handle;
  pool.take(handle, 1);
  pool.release(handle);
  EXPECT_DEATH(pool.release(handle), "assertion failed");
}

TEST(SlotPool, KeepsGenerationsWithin24Bits) {
  SlotPool<int, 1> pool(1);
  SlotHandle handle;
  for (uint32_t i = 0; i < kGenerationMask; ++i) {
    pool.take(handle, 0);
    pool.release(handle);
  }
  pool.take(handle, 0);
  EXPECT_EQ(handle.generation, kGenerationMask);
  pool.release(handle);
  pool.take(handle, 0);
  EXPECT_EQ(handle.generation, 0U);
}

}  // namespace
}  // namespace ringmta
