// SPDX-License-Identifier: GPL-3.0-or-later
// Slots of living messages, and the states of recipients they keep.
#include "../../src/spool/message_table.h"

#include <gtest/gtest.h>

#include <map>

#include "ringmta/base/prng.h"

namespace ringmta::spool {
namespace {

TEST(MessageTable, KnowsStaleHandles) {
  MessageTable table;
  const uint32_t first = table.take();
  const StoredHandle handle = table.handle(first);
  EXPECT_EQ(table.find(handle), &table[first]);
  table.release(first);
  EXPECT_EQ(table.find(handle), nullptr);
  const uint32_t again = table.take();
  EXPECT_EQ(again, first);
  EXPECT_EQ(table.find(handle), nullptr);
  EXPECT_NE(table.find(table.handle(again)), nullptr);
  EXPECT_EQ(table.find({UINT32_MAX, 0}), nullptr);
}

TEST(MessageTable, TakesFewOctetsPerMessage) {
  MessageTable table;
  for (int i = 0; i < 100'000; ++i) table.take();
  EXPECT_LE(table.octets(), 100'000U * 50);
}

std::map<uint32_t, RecipientState> states_of(const Message& message) {
  std::vector<RecipientState> list;
  append_states(message, list);
  std::map<uint32_t, RecipientState> by_index;
  for (const RecipientState& state : list) by_index[state.index] = state;
  EXPECT_EQ(by_index.size(), list.size());
  return by_index;
}

// Whatever is recorded in whatever order: the last word on each recipient is kept.
TEST(States, AreTheLastOnesRecorded) {
  Prng random(5);
  for (int round = 0; round < 500; ++round) {
    MessageTable table;
    Message& message = table[table.take()];
    std::map<uint32_t, RecipientState> expected;
    const uint64_t recipients = 1 + random.below(round % 2 == 0 ? 1 : 6);
    const uint64_t changes = random.below(12);
    for (uint64_t i = 0; i < changes; ++i) {
      std::vector<RecipientState> batch;
      const uint64_t count = 1 + random.below(3);
      for (uint64_t n = 0; n < count; ++n) {
        RecipientState state;
        state.index = static_cast<uint32_t>(random.below(recipients));
        state.fate = static_cast<Fate>(random.below(5));
        state.delay_reported = random.below(2) == 0;
        state.attempts = static_cast<uint16_t>(random.next());
        // Now and then a time that does not fit into the slot.
        state.next_attempt = {static_cast<int64_t>(
            random.below(8) == 0 ? random.next() >> 1 : random.below(1ULL << 48))};
        batch.push_back(state);
        expected[state.index] = state;
      }
      merge_states(message, batch);
    }
    const auto is = states_of(message);
    ASSERT_EQ(is.size(), expected.size());
    for (const auto& [index, state] : expected) {
      ASSERT_TRUE(is.contains(index));
      EXPECT_EQ(is.at(index).fate, state.fate);
      EXPECT_EQ(is.at(index).delay_reported, state.delay_reported);
      EXPECT_EQ(is.at(index).attempts, state.attempts);
      EXPECT_EQ(is.at(index).next_attempt, state.next_attempt);
    }
    drop_states(message);
    EXPECT_TRUE(states_of(message).empty());
  }
}

}  // namespace
}  // namespace ringmta::spool
