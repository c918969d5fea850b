// SPDX-License-Identifier: GPL-3.0-or-later
// The DATA form both ways, cut at every place, against a reference that goes octet by octet.
#include "tools/common/dot_stream.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ringmta/base/prng.h"

namespace ringmta::tools {
namespace {

struct Read {
  std::string content;
  size_t used = 0;
  bool ended = false;
};

Read read_in_pieces(std::string_view wire, size_t piece) {
  Read read;
  DotReader reader;
  while (!read.ended && read.used < wire.size()) {
    const std::string_view part = wire.substr(read.used, piece);
    read.used +=
        reader.feed(part, read.ended, [&](std::string_view text) { read.content += text; });
  }
  return read;
}

// Plain: what RFC 5321 4.5.2 says, one octet at a time.
Read reference(std::string_view wire) {
  Read read;
  bool line_start = true;
  for (size_t i = 0; i < wire.size(); ++i) {
    if (line_start && wire[i] == '.') {
      if (wire.substr(i, 3) == ".\r\n") {
        read.used = i + 3;
        read.ended = true;
        return read;
      }
      line_start = false;
      continue;
    }
    read.content += wire[i];
    line_start = wire[i] == '\n' && i > 0 && wire[i - 1] == '\r';
  }
  read.used = wire.size();
  return read;
}

TEST(DotStream, FindsLineFeedDotWhereverItIs) {
  for (size_t length = 0; length < 200; ++length) {
    std::string text(length, 'a');
    EXPECT_EQ(find_line_feed_dot(text), std::string::npos);
    for (size_t at = 0; at + 1 < length; ++at) {
      std::string hit = text;
      hit[at] = '\n';
      hit[at + 1] = '.';
      EXPECT_EQ(find_line_feed_dot(hit), at) << length;
    }
    if (length > 0) {
      text.back() = '\n';
      EXPECT_EQ(find_line_feed_dot(text), std::string::npos);
    }
  }
}

TEST(DotStream, StuffsOnlyDotsAtTheStartOfLines) {
  EXPECT_EQ(dot_stuffed(""), "");
  EXPECT_EQ(dot_stuffed(".\r\n"), "..\r\n");
  EXPECT_EQ(dot_stuffed("a.b\r\n..\r\nc\r\n.\r\n"), "a.b\r\n...\r\nc\r\n..\r\n");
  EXPECT_EQ(dot_stuffed("a\n.b\r\n"), "a\n.b\r\n");
}

TEST(DotStream, EmptyMessageIsTheEndAlone) {
  const Read read = read_in_pieces(".\r\nQUIT\r\n", 100);
  EXPECT_TRUE(read.ended);
  EXPECT_EQ(read.used, 3U);
  EXPECT_EQ(read.content, "");
}

TEST(DotStream, OnlyCrlfDotCrlfEnds) {
  for (const std::string_view wire :
       {"a\n.\r\n", "a\r\n.\n", "a\r.\r\n", "a\r\n.\r", "a\r\n.\rb\r\n", "a\n.\n", "a\r\n. \r\n"}) {
    EXPECT_FALSE(read_in_pieces(wire, 100).ended) << wire;
  }
}

TEST(DotStream, ReadsTheSameHoweverItIsCut) {
  Prng prng(7);
  constexpr std::string_view kAlphabet = "\r\n..ab\r\n";
  for (int round = 0; round < 3000; ++round) {
    std::string wire;
    const size_t length = prng.below(120);
    for (size_t i = 0; i < length; ++i) wire += kAlphabet[prng.below(kAlphabet.size())];
    wire += "\r\n.\r\nMAIL";
    const Read wanted = reference(wire);
    for (const size_t piece :
         {size_t{1}, size_t{2}, size_t{3}, size_t{7}, size_t{64}, size_t{1000}}) {
      const Read read = read_in_pieces(wire, piece);
      ASSERT_EQ(read.content, wanted.content) << round << " piece " << piece;
      ASSERT_EQ(read.ended, wanted.ended);
      ASSERT_EQ(read.used, wanted.used);
    }
  }
}

TEST(DotStream, StuffedAndReadIsTheMessage) {
  Prng prng(8);
  for (int round = 0; round < 500; ++round) {
    std::string message;
    const size_t lines = prng.below(40);
    for (size_t i = 0; i < lines; ++i) {
      message.append(prng.below(3), '.');
      message.append(prng.below(80), 'x');
      message += "\r\n";
    }
    const Read read = read_in_pieces(dot_stuffed(message) + ".\r\n", 1 + prng.below(200));
    ASSERT_TRUE(read.ended);
    ASSERT_EQ(read.content, message);
  }
}

}  // namespace
}  // namespace ringmta::tools
