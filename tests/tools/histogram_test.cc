// SPDX-License-Identifier: GPL-3.0-or-later
// Percentiles against a sorted list.
#include "tools/common/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "ringmta/base/prng.h"

namespace ringmta::tools {
namespace {

TEST(Histogram, EmptyIsZero) {
  const auto histogram = std::make_unique<Histogram>();
  EXPECT_EQ(histogram->quantile(0.5), 0U);
  EXPECT_EQ(histogram->max(), 0U);
  EXPECT_EQ(histogram->mean(), 0);
}

TEST(Histogram, SmallValuesAreExact) {
  const auto histogram = std::make_unique<Histogram>();
  for (uint64_t value = 0; value < 64; ++value) histogram->add(value);
  EXPECT_EQ(histogram->quantile(0), 0U);
  EXPECT_EQ(histogram->quantile(0.5), 31U);
  EXPECT_EQ(histogram->quantile(1), 63U);
}

TEST(Histogram, AnyQuantileIsWithinTwoPercentAndNotTooLow) {
  const auto histogram = std::make_unique<Histogram>();
  std::vector<uint64_t> values;
  Prng prng(3);
  for (int i = 0; i < 20'000; ++i) {
    values.push_back(prng.next() >> prng.below(63));
    histogram->add(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double fraction : {0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto rank = static_cast<size_t>(std::ceil(fraction * static_cast<double>(values.size())));
    const uint64_t exact = values[rank - 1];
    const uint64_t got = histogram->quantile(fraction);
    EXPECT_GE(got, exact) << fraction;
    EXPECT_LE(static_cast<double>(got), static_cast<double>(exact) * 1.016 + 1) << fraction;
  }
  EXPECT_EQ(histogram->max(), values.back());
}

TEST(Histogram, CountsUpToAValue) {
  const auto histogram = std::make_unique<Histogram>();
  std::vector<uint64_t> values;
  Prng prng(5);
  for (int i = 0; i < 5'000; ++i) {
    values.push_back(prng.below(10'000'000));
    histogram->add(values.back());
  }
  const auto exact = [&](double limit) {
    return std::count_if(values.begin(), values.end(),
                         [&](uint64_t value) { return static_cast<double>(value) <= limit; });
  };
  for (const uint64_t limit : {10'000U, 500'000U, 9'000'000U}) {
    const auto got = static_cast<int64_t>(histogram->count_up_to(limit));
    EXPECT_LE(got, exact(static_cast<double>(limit))) << limit;
    EXPECT_GE(got, exact(static_cast<double>(limit) / 1.016 - 1)) << limit;
  }
  EXPECT_EQ(histogram->count_up_to(UINT64_MAX), histogram->count());
  EXPECT_EQ(histogram->count_up_to(histogram->max()), histogram->count());
}

TEST(Histogram, HoldsTheLargestValue) {
  const auto histogram = std::make_unique<Histogram>();
  histogram->add(UINT64_MAX);
  EXPECT_EQ(histogram->quantile(0.5), UINT64_MAX);
}

TEST(Histogram, MergedIsTheSameAsAddedTogether) {
  const auto a = std::make_unique<Histogram>();
  const auto b = std::make_unique<Histogram>();
  const auto both = std::make_unique<Histogram>();
  Prng prng(4);
  for (int i = 0; i < 1000; ++i) {
    const uint64_t value = prng.below(1'000'000);
    (i % 2 == 0 ? a : b)->add(value);
    both->add(value);
  }
  a->merge(*b);
  EXPECT_EQ(a->count(), both->count());
  EXPECT_EQ(a->max(), both->max());
  for (const double fraction : {0.1, 0.5, 0.9})
    EXPECT_EQ(a->quantile(fraction), both->quantile(fraction));
}

}  // namespace
}  // namespace ringmta::tools
