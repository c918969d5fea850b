// SPDX-License-Identifier: GPL-3.0-or-later
// Errors as values.
#include "ringmta/base/result.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace ringmta {
namespace {

Result<int> half(int number) {
  if (number % 2 != 0) return fail("odd", EDOM);
  return number / 2;
}

TEST(Result, HoldsAValue) {
  ASSERT_TRUE(half(4).has_value());
  EXPECT_EQ(*half(4), 2);
}

TEST(Result, HoldsAnErrorWithItsCode) {
  const Result<int> result = half(3);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().message, "odd");
  EXPECT_EQ(result.error().code, EDOM);
}

TEST(Result, HasNoCodeUnlessGivenOne) {
  const Status status = fail("no reason of the system's");
  EXPECT_EQ(status.error().code, 0);
}

TEST(Result, PutsTheSystemsWordsBehindOurs) {
  const Status status = fail_errno("cannot open /x", ENOENT);
  EXPECT_EQ(status.error().message, "cannot open /x: No such file or directory");
  EXPECT_EQ(status.error().code, ENOENT);
}

}  // namespace
}  // namespace ringmta
