// SPDX-License-Identifier: GPL-3.0-or-later
// The generator: repeatable, bounded, and near enough to uniform for jitter.
#include "ringmta/base/prng.h"

#include <gtest/gtest.h>

#include <array>

namespace ringmta {
namespace {

// The reference implementation's first three outputs after seeding by splitmix64(0).
TEST(Prng, IsXoshiro256StarStar) {
  Prng prng(0);
  EXPECT_EQ(prng.next(), 0x99EC5F36CB75F2B4ULL);
  EXPECT_EQ(prng.next(), 0xBF6E1F784956452AULL);
  EXPECT_EQ(prng.next(), 0x1A5F849D4933E6E0ULL);
}

TEST(Prng, RepeatsWithTheSameSeedOnly) {
  Prng first(7);
  Prng same(7);
  Prng other(8);
  int differences = 0;
  for (int i = 0; i < 100; ++i) {
    const uint64_t value = first.next();
    ASSERT_EQ(value, same.next());
    if (value != other.next()) ++differences;
  }
  EXPECT_EQ(differences, 100);
}

TEST(Prng, StaysBelowItsBound) {
  Prng prng(1);
  for (const uint64_t bound : {uint64_t{1}, uint64_t{2}, uint64_t{3}, uint64_t{1000}, UINT64_MAX}) {
    for (int i = 0; i < 1000; ++i) ASSERT_LT(prng.below(bound), bound);
  }
}

TEST(Prng, SpreadsEvenly) {
  Prng prng(2);
  std::array<int, 10> counts{};
  for (int i = 0; i < 100'000; ++i) ++counts[prng.below(counts.size())];
  for (const int count : counts) {
    EXPECT_GT(count, 9'500);
    EXPECT_LT(count, 10'500);
  }
}

}  // namespace
}  // namespace ringmta
