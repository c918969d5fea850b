// SPDX-License-Identifier: GPL-3.0-or-later
// The mailbox: bounded, in order, nothing lost or twice, between two threads.
#include "ringmta/shard/mailbox.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <thread>

#include "ringmta/base/prng.h"

namespace ringmta::shard {
namespace {

TEST(Mailbox, IsEmptyAtFirst) {
  Mailbox<int> mailbox(4);
  int letter = 0;
  EXPECT_FALSE(mailbox.pop(letter));
}

TEST(Mailbox, RoundsItsCapacityUpToAPowerOfTwo) {
  EXPECT_EQ(Mailbox<int>(1).capacity(), 1U);
  EXPECT_EQ(Mailbox<int>(5).capacity(), 8U);
  EXPECT_EQ(Mailbox<int>(8).capacity(), 8U);
}

TEST(Mailbox, RefusesWhenFullAndTakesAgainAfterAPop) {
  Mailbox<int> mailbox(4);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(mailbox.push(i));
  EXPECT_FALSE(mailbox.push(4));
  int letter = -1;
  EXPECT_TRUE(mailbox.pop(letter));
  EXPECT_EQ(letter, 0);
  EXPECT_TRUE(mailbox.push(4));
  EXPECT_FALSE(mailbox.push(5));
  for (int expected = 1; expected <= 4; ++expected) {
    ASSERT_TRUE(mailbox.pop(letter));
    EXPECT_EQ(letter, expected);
  }
  EXPECT_FALSE(mailbox.pop(letter));
}

TEST(Mailbox, KeepsTheOrderOverManyRounds) {
  Mailbox<int> mailbox(8);
  Prng prng(1);
  int pushed = 0;
  int popped = 0;
  while (popped < 10'000) {
    for (uint64_t i = prng.below(10); i > 0; --i) {
      if (mailbox.push(pushed)) ++pushed;
    }
    for (uint64_t i = prng.below(10); i > 0; --i) {
      int letter = -1;
      if (!mailbox.pop(letter)) {
        ASSERT_EQ(pushed, popped);
        break;
      }
      ASSERT_EQ(letter, popped++);
    }
    ASSERT_LE(pushed - popped, 8);
  }
}

// Several words a letter: a torn one would show.
struct Letter {
  uint64_t number;
  uint64_t copies[5];
};

void exchange(size_t capacity, uint64_t count) {
  Mailbox<Letter> mailbox(capacity);
  std::thread producer([&] {
    for (uint64_t i = 0; i < count; ++i) {
      while (!mailbox.push({i, {i, i, i, i, i}})) std::this_thread::yield();
    }
  });
  uint64_t wrong = 0;
  for (uint64_t expected = 0; expected < count;) {
    Letter letter{};
    if (!mailbox.pop(letter)) {
      std::this_thread::yield();
      continue;
    }
    if (letter.number != expected) ++wrong;
    for (const uint64_t copy : letter.copies) {
      if (copy != expected) ++wrong;
    }
    ++expected;
  }
  producer.join();
  Letter letter{};
  EXPECT_EQ(wrong, 0U);
  EXPECT_FALSE(mailbox.pop(letter));
}

TEST(Mailbox, LosesNothingBetweenTwoThreads) { exchange(1024, 200'000); }

TEST(Mailbox, LosesNothingWhenItIsAlwaysFullOrEmpty) { exchange(1, 2'000); }

}  // namespace
}  // namespace ringmta::shard
