// SPDX-License-Identifier: GPL-3.0-or-later
// Base64: RFC 4648's vectors, all octets there and back, and every text that is not canonical.
#include "ringmta/base/base64.h"

#include <gtest/gtest.h>

#include "ringmta/base/wipe.h"

namespace ringmta {
namespace {

std::string encoded(std::string_view octets) {
  std::string text;
  append_base64(as_bytes(octets), text);
  return text;
}

TEST(Base64, Vectors) {  // RFC 4648 10
  const std::pair<std::string_view, std::string_view> vectors[] = {{"", ""},
                                                                   {"f", "Zg=="},
                                                                   {"fo", "Zm8="},
                                                                   {"foo", "Zm9v"},
                                                                   {"foob", "Zm9vYg=="},
                                                                   {"fooba", "Zm9vYmE="},
                                                                   {"foobar", "Zm9vYmFy"}};
  for (const auto& [octets, text] : vectors) {
    EXPECT_EQ(encoded(octets), text);
    std::string back = "x";
    EXPECT_TRUE(append_base64_decoded(text, back));
    EXPECT_EQ(back, "x" + std::string(octets));
  }
}

TEST(Base64, TheWholeAlphabet) {
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string octets;
  ASSERT_TRUE(append_base64_decoded(alphabet, octets));
  EXPECT_EQ(octets.size(), 48U);
  EXPECT_EQ(encoded(octets), alphabet);
}

TEST(Base64, EveryLengthAndOctet) {
  std::string octets;
  for (int i = 0; i < 256; ++i) {
    std::string back;
    EXPECT_TRUE(append_base64_decoded(encoded(octets), back));
    EXPECT_EQ(back, octets);
    octets += static_cast<char>(i * 37);
  }
}

TEST(Base64, OneTextForEachSequence) {
  // Of all two-symbol and three-symbol endings only those with zero bits behind are taken.
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  int two = 0, three = 0;
  for (const char last : alphabet) {
    std::string octets;
    two += append_base64_decoded(std::string("A") + last + "==", octets) ? 1 : 0;
    three += append_base64_decoded(std::string("AA") + last + "=", octets) ? 1 : 0;
  }
  EXPECT_EQ(two, 4);
  EXPECT_EQ(three, 16);
}

TEST(Base64, WhatIsNone) {
  for (const std::string_view bad :
       {"Z", "Zg", "Zg=", "Zm9", "Zg==Zg==", "=Zg=", "Z===", "====", "Zg= =", " Zg==", "Zm9v\n",
        "Zm9-", "Zm9_", "Zm9\xC3", "Zg=v", "Z=9v", "Zh==", "Zm9="}) {
    std::string octets = "kept";
    EXPECT_FALSE(append_base64_decoded(bad, octets)) << bad;
    EXPECT_EQ(octets, "kept");
  }
  for (int c = 0; c < 256; ++c) {
    std::string octets;
    const bool symbol = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                        (c >= '0' && c <= '9') || c == '+' || c == '/';
    EXPECT_EQ(append_base64_decoded(std::string("AA") + static_cast<char>(c) + "A", octets),
              symbol);
  }
}

TEST(Secrets, AreOverwritten) {
  std::string secret(100, 's');
  const char* at = secret.data();
  wipe(secret);
  EXPECT_TRUE(secret.empty());
  for (int i = 1; i < 100; ++i) EXPECT_EQ(at[i], '\0');
}

TEST(Secrets, GrowAndCompare) {
  std::string secret, whole;
  for (int i = 0; i < 100; ++i) {
    append_secret(secret, "piece");
    whole += "piece";
  }
  EXPECT_EQ(secret, whole);
  EXPECT_TRUE(equal_in_constant_time(secret, whole));
  for (size_t i = 0; i < whole.size(); i += 7) {
    std::string other = whole;
    other[i] = '\x80';
    EXPECT_FALSE(equal_in_constant_time(secret, other));
  }
  EXPECT_FALSE(equal_in_constant_time(secret, secret.substr(1)));
  EXPECT_TRUE(equal_in_constant_time("", ""));
}

}  // namespace
}  // namespace ringmta
