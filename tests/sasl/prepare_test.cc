// SPDX-License-Identifier: GPL-3.0-or-later
// SASLprep: RFC 4013's examples, and what must not pass.
#include "ringmta/sasl/prepare.h"

#include <gtest/gtest.h>

namespace ringmta::sasl {
namespace {

TEST(Prepare, ExamplesOfRfc4013) {
  EXPECT_EQ(prepare("I\xC2\xADX"), "IX");  // soft hyphen: mapped to nothing
  EXPECT_EQ(prepare("user"), "user");
  EXPECT_EQ(prepare("USER"), "USER");        // case is kept
  EXPECT_EQ(prepare("\xC2\xAA"), "a");       // NFKC
  EXPECT_EQ(prepare("\xE2\x85\xA8"), "IX");  // likewise
  EXPECT_EQ(prepare("\x07"), std::nullopt);  // a control
  EXPECT_EQ(prepare("\xD8\xA7"
                    "1"),
            std::nullopt);  // right-to-left, ending otherwise
}

TEST(Prepare, OnePasswordHoweverItWasTyped) {
  EXPECT_EQ(prepare("p\xC3\xA4ss"), "p\xC3\xA4ss");
  EXPECT_EQ(prepare("pa\xCC\x88ss"), "p\xC3\xA4ss");
  EXPECT_EQ(prepare("a\xC2\xA0"
                    "b"),
            "a b");  // a space is a space
}

TEST(Prepare, AsciiIsLeftAlone) {
  std::string all;
  for (char c = ' '; c <= '~'; ++c) all += c;
  EXPECT_EQ(prepare(all), all);
}

TEST(Prepare, WhatIsRefused) {
  for (const std::string_view bad : {"", "\xFF", "a\xC3", "\xC3\xA4\n", "a\x7F", "\xEE\x80\x80",
                                     "\xEF\xBF\xBD", "\xED\xA0\x80", "\xC2\xAD"}) {
    EXPECT_EQ(prepare(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(prepare(std::string("\xC3\xA4\0b", 4)), std::nullopt);
  EXPECT_EQ(prepare(std::string("a\0b", 3)), std::nullopt);
  EXPECT_EQ(prepare(std::string(kPreparedMax + 1, 'a')), std::nullopt);
  EXPECT_EQ(prepare(std::string(kPreparedMax, 'a')), std::string(kPreparedMax, 'a'));
  std::string grows;  // U+FDFA is 18 code points in NFKC
  while (grows.size() + 3 <= kPreparedMax) grows += "\xEF\xB7\xBA";
  EXPECT_EQ(prepare(grows), std::nullopt);
}

TEST(Prepare, YoungerCodePointsPass) {
  EXPECT_EQ(prepare("\xF0\x9F\x98\x80"), "\xF0\x9F\x98\x80");  // an emoji
}

}  // namespace
}  // namespace ringmta::sasl
