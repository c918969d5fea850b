// SPDX-License-Identifier: GPL-3.0-or-later
// any_octet() against asking each octet, for every length around a step, every place and every
// octet.
#include "ringmta/base/octets.h"

#include <gtest/gtest.h>

#include <string>

namespace ringmta {
namespace {

TEST(Octets, ClassesOfEveryOctet) {
  for (int value = 0; value < 256; ++value) {
    const std::string text(1, static_cast<char>(value));
    const bool control = value < 0x20 || value == 0x7F;
    EXPECT_EQ(has_control(text), control) << value;
    EXPECT_EQ(any_octet(text, octets::control_or_high), control || value > 127) << value;
  }
}

TEST(Octets, FoundAtEveryPlaceOfEveryLength) {
  for (size_t length = 0; length <= 70; ++length) {
    std::string text(length, 'a');
    EXPECT_FALSE(has_control(text)) << length;
    for (size_t place = 0; place < length; ++place) {
      for (const char odd : {'\0', '\n', '\x1F', '\x7F'}) {
        text[place] = odd;
        EXPECT_TRUE(has_control(text)) << place << " of " << length;
        // Nothing outside of the text counts.
        const std::string_view all(text);
        EXPECT_FALSE(has_control(all.substr(0, place))) << place << " of " << length;
        EXPECT_FALSE(has_control(all.substr(place + 1))) << place << " of " << length;
      }
      text[place] = 'a';
    }
  }
}

}  // namespace
}  // namespace ringmta
