// SPDX-License-Identifier: GPL-3.0-or-later
// Message ids as text: fixed width, ordered like the numbers, and back.
#include "ringmta/base/types.h"

#include <gtest/gtest.h>

#include <string>

#include "ringmta/base/prng.h"

namespace ringmta {
namespace {

std::string text_of(uint64_t value) { return std::string(view(to_text({value}))); }

TEST(MessageIdText, ComesBackAsTheSameId) {
  Prng prng(1);
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t value = prng.next() >> prng.below(64);
    ASSERT_EQ(message_id_from_text(text_of(value)).value, value);
  }
  EXPECT_EQ(message_id_from_text(text_of(UINT64_MAX)).value, UINT64_MAX);
}

TEST(MessageIdText, HasKnownForms) {
  EXPECT_EQ(text_of(0), "0000000000000");
  EXPECT_EQ(text_of(31), "000000000000Z");
  EXPECT_EQ(text_of(32), "0000000000010");
  EXPECT_EQ(text_of(UINT64_MAX), "FZZZZZZZZZZZZ");
}

TEST(MessageIdText, SortsLikeTheNumbers) {
  Prng prng(2);
  for (int i = 0; i < 1000; ++i) {
    const uint64_t a = prng.next() >> prng.below(64);
    const uint64_t b = prng.next() >> prng.below(64);
    ASSERT_EQ(text_of(a) < text_of(b), a < b) << a << " " << b;
  }
}

TEST(MessageIdText, IsReadInEitherCase) {
  EXPECT_EQ(message_id_from_text("00000000000zz").value, 31U * 32 + 31);
}

TEST(MessageIdText, RefusesWhatIsNoId) {
  for (const char* text : {"", "000000000001", "00000000000001", "000000000000U", "000000000000I",
                           "000000000000L", "000000000000O", "000000000000-", "G000000000000"}) {
    EXPECT_FALSE(message_id_from_text(text)) << text;
  }
}

}  // namespace
}  // namespace ringmta
