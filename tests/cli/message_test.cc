// SPDX-License-Identifier: GPL-3.0-or-later
// Files as they lie on disk become what SMTP carries; headers are made for plain texts.
#include "../../src/cli/message.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

namespace ringmta::cli {
namespace {

TEST(WireForms, EndLinesWithCrlfAndDoubleLeadingDots) {
  struct Case {
    const char* message;
    const char* wire;
    bool stuffed;
  };
  const Case cases[] = {
      {"", ".\r\n", false},
      {"a\n", "a\r\n.\r\n", false},
      {"a", "a\r\n.\r\n", false},
      {"a\r\nb\n", "a\r\nb\r\n.\r\n", false},
      {"a\n\n", "a\r\n\r\n.\r\n", false},
      {".\n..\n.a\na.\n", "..\r\n...\r\n..a\r\na.\r\n.\r\n", true},
      {"a\rb\n", "a\rb\r\n.\r\n", false},  // not a line's end: the relay refuses it
      {"a\r\r\n", "a\r\r\n.\r\n", false},
      {"end\r", "end\r\r\n.\r\n", false},
  };
  for (const Case& one : cases) {
    const WireForm wire = wire_form(one.message);
    EXPECT_EQ(wire.octets, one.wire);
    EXPECT_EQ(wire.has_dot_stuffing, one.stuffed) << one.message;
  }
}

TEST(WireForms, KnowWhetherTheyNeedEightBits) {
  EXPECT_FALSE(wire_form("plain\n").has_eight_bit);
  EXPECT_TRUE(wire_form("caf\xc3\xa9\n").has_eight_bit);
}

TEST(Subjects, AreLeftAloneWhereTheyAreAscii) {
  EXPECT_EQ(encoded_subject("hello = world?"), "hello = world?");
}

// What base64 stands for, by the plainest decoder.
std::string decoded(std::string_view text) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string octets;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<uint32_t>(kAlphabet.find(c));
    if ((count += 6) >= 8) octets += static_cast<char>(bits >> (count -= 8));
  }
  return octets;
}

TEST(Subjects, AreEncodedInWordsOfWholeCharacters) {
  std::string subject;
  for (int i = 0; i < 40; ++i)
    subject += i % 3 == 0 ? "\xf0\x9f\x93\xa7" : i % 3 == 1 ? "\xc3\xbc" : "x";
  std::istringstream words(encoded_subject(subject));
  std::string whole;
  for (std::string word; words >> word;) {
    ASSERT_TRUE(word.starts_with("=?utf-8?B?") && word.ends_with("?=")) << word;
    EXPECT_LE(word.size(), 75U);  // RFC 2047 2
    const std::string part = decoded(word.substr(10, word.size() - 12));
    EXPECT_NE(static_cast<unsigned char>(part.front()) & 0xC0, 0x80) << "begins within a character";
    whole += part;
  }
  EXPECT_EQ(whole, subject);
}

TEST(Headers, HaveWhatAMessageNeeds) {
  const std::string header =
      header_text({"ann@a.test", {"bob@b.test", "eve@e.test"}, "hello", "host.test"}, true);
  EXPECT_TRUE(
      header.starts_with("From: <ann@a.test>\r\nTo: <bob@b.test>,\r\n <eve@e.test>\r\n"
                         "Subject: hello\r\nDate: "))
      << header;
  EXPECT_NE(header.find(" +0000\r\nMessage-ID: <"), std::string::npos) << header;
  EXPECT_NE(header.find("@host.test>\r\nMIME-Version: 1.0\r\n"), std::string::npos) << header;
  EXPECT_TRUE(header.ends_with("Content-Transfer-Encoding: 8bit\r\n\r\n")) << header;
}

TEST(Headers, OfMailWithTheNullReversePathSayWhoWritesIt) {
  EXPECT_TRUE(header_text({"", {"bob@b.test"}, "x", "host.test"}, false)
                  .starts_with("From: <MAILER-DAEMON@host.test>\r\n"));
}

}  // namespace
}  // namespace ringmta::cli
