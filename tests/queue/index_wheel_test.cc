// SPDX-License-Identifier: GPL-3.0-or-later
// The coarse wheel against a plain ordered map.
#include "../../src/queue/index_wheel.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "ringmta/base/prng.h"
#include "ringmta/base/slot_pool.h"

namespace ringmta::queue {
namespace {

struct Entry {
  uint32_t previous = kNone, next = kNone, due = 0;
};
using Pool = SlotPool<Entry>;

uint32_t take(Pool& pool) {
  SlotHandle handle;
  pool.take(handle);
  return handle.index;
}

TEST(IndexWheel, AgreesWithAnOrderedMap) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    Prng prng(seed);
    Pool pool(1 << 20);
    IndexWheel<Pool> wheel(pool);
    std::multimap<uint32_t, uint32_t> model;  // due -> index
    uint32_t now = 0;
    for (int step = 0; step < 3000; ++step) {
      const uint64_t what = prng.below(10);
      if (what < 5) {
        const uint32_t reach = 1U << prng.below(23);
        const uint32_t index = take(pool);
        const bool overdue = prng.below(8) == 0;
        const auto due =
            static_cast<uint32_t>(overdue ? prng.below(now + 1) : now + prng.below(reach));
        wheel.arm(index, due);
        model.emplace(due, index);
      } else if (what < 7 && !model.empty()) {
        auto victim = model.begin();
        std::advance(victim,
                     static_cast<ptrdiff_t>(prng.below(std::min<size_t>(model.size(), 20))));
        wheel.cancel(victim->second);
        pool.release(pool.handle_at(victim->second));
        model.erase(victim);
      } else {
        if (!model.empty()) {
          EXPECT_LE(wheel.next_due(), std::max(model.begin()->first, now));
        }
        now += static_cast<uint32_t>(prng.below(1U << prng.below(20)));
        std::set<uint32_t> due;
        for (bool more = true; more;) {
          uint32_t work = 1 + static_cast<uint32_t>(prng.below(7));
          uint32_t index;
          while ((index = wheel.pop_due(now, work)) != kNone) due.insert(index);
          more = work == 0;
        }
        std::set<uint32_t> expected;
        while (!model.empty() && model.begin()->first <= now) {
          expected.insert(model.begin()->second);
          model.erase(model.begin());
        }
        ASSERT_EQ(due, expected) << "seed " << seed << " step " << step;
        for (const uint32_t index : due) pool.release(pool.handle_at(index));
      }
      ASSERT_EQ(wheel.size(), model.size());
    }
  }
}

TEST(IndexWheel, MovesALargeSlotDownWithinTheBudget) {
  Pool pool(1 << 20);
  IndexWheel<Pool> wheel(pool);
  for (int i = 0; i < 100'000; ++i) wheel.arm(take(pool), 70'000);
  uint32_t calls = 0, found = 0;
  for (bool more = true; more; ++calls) {
    uint32_t work = 1000;
    while (wheel.pop_due(70'000, work) != kNone) ++found;
    more = work == 0;
  }
  EXPECT_EQ(found, 100'000U);
  EXPECT_GE(calls, 300U);  // down two levels, then out
}

}  // namespace
}  // namespace ringmta::queue
