// SPDX-License-Identifier: GPL-3.0-or-later
// Replies as servers really send them, each whole, octet by octet and cut at every place, with the
// same result.
#include "ringmta/smtp/reply.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ringmta/base/prng.h"

namespace ringmta::smtp {
namespace {

// Everything the parser finds in `input`: "line|" per reply, "malformed" and the end, or "..." for
// a part of one.
std::string parse(ReplyParser& parser, const std::vector<std::string_view>& pieces) {
  std::string found;
  for (std::string_view piece : pieces) {
    while (!piece.empty()) {
      const ReplyParser::Step step = parser.step(as_bytes(piece));
      if (step.state == ReplyParser::State::malformed) return found + "malformed";
      piece.remove_prefix(step.consumed);
      if (step.state == ReplyParser::State::complete) found += parser.reply().line() + "|";
    }
  }
  return found + (parser.in_reply() ? "..." : "");
}

std::string parse_all_ways(std::string_view input) {
  ReplyParser whole_parser;
  const std::string whole = parse(whole_parser, {input});
  for (size_t cut = 0; cut <= input.size(); ++cut) {
    ReplyParser parser;
    EXPECT_EQ(parse(parser, {input.substr(0, cut), input.substr(cut)}), whole) << "cut at " << cut;
    EXPECT_EQ(parser.problem(), whole_parser.problem()) << "cut at " << cut;
  }
  std::vector<std::string_view> octets;
  for (size_t i = 0; i < input.size(); ++i) octets.push_back(input.substr(i, 1));
  ReplyParser parser;
  EXPECT_EQ(parse(parser, octets), whole);
  EXPECT_EQ(parser.problem(), whole_parser.problem());
  return whole;
}

struct Case {
  const char* name;
  std::string_view input;
  std::string_view expected;
};

using namespace std::string_view_literals;

const Case kCases[] = {
    {"plain", "250 ok\r\n", "250 ok|"},
    {"code only", "250\r\n", "250|"},
    {"code and space only", "354 \r\n", "354|"},
    {"enhanced status", "550 5.1.1 no such user\r\n", "550 5.1.1 no such user|"},
    {"enhanced status alone", "250 2.0.0\r\n", "250 2.0.0|"},
    {"status of another class is text", "550 2.1.1 odd\r\n", "550 2.1.1 odd|"},
    {"not a status: four digits", "550 5.1.1000 odd\r\n", "550 5.1.1000 odd|"},
    {"not a status: glued text", "550 5.1.1:odd\r\n", "550 5.1.1:odd|"},
    {"not a status: address", "550 5.1.1.7 odd\r\n", "550 5.1.1.7 odd|"},
    {"status with three digits", "421 4.999.123 x\r\n", "421 4.999.123 x|"},
    {"several lines", "250-mx\r\n250-SIZE 1\r\n250 DSN\r\n", "250 mx SIZE 1 DSN|"},
    {"status on every line", "550-5.7.1 we do\r\n550-5.7.1 not\r\n550 5.7.1 want it\r\n",
     "550 5.7.1 we do not want it|"},
    {"status on the last line only", "550-sorry\r\n550 5.7.1 no\r\n", "550 5.7.1 sorry no|"},
    {"second status is text", "550-5.7.1 a\r\n550 5.7.2 b\r\n", "550 5.7.1 a 5.7.2 b|"},
    {"continuation without text", "250-\r\n250 \r\n", "250|"},
    {"bare LF", "250-a\n250 b\n", "250 a b|"},
    {"mixed line ends", "250-a\n250-b\r\n250 c\n", "250 a b c|"},
    {"two replies", "250 a\r\n354 b\r\n", "250 a|354 b|"},
    {"reply and a part", "250 a\r\n35", "250 a|..."},
    {"a part", "250-a\r\n", "..."},
    {"a CR to come", "250 a\r", "..."},
    {"CR within text", "250 a\rb\r\n", "250 a?b|"},
    {"two CRs at the end", "250 a\r\r\n", "250 a?|"},
    {"NUL, escape and DEL", "250 a\0b\x1B[2J\x7F\r\n"sv, "250 a?b?[2J?|"},
    {"tab", "250 a\tb\r\n", "250 a b|"},
    {"octets above 127", "250 gr\xC3\xBC\xC3\x9F\r\n", "250 gr\xC3\xBC\xC3\x9F|"},
    {"highest code", "599 x\r\n", "599 x|"},
    {"different codes", "250-a\r\n550 b\r\n", "malformed"},
    {"different codes at the end", "550-a\r\n550-b\r\n250 c\r\n", "malformed"},
    {"no code", "hello\r\n", "malformed"},
    {"empty line", "\r\n", "malformed"},
    {"bare empty line", "\n", "malformed"},
    {"two digits", "25\r\n", "malformed"},
    {"two digits and text", "25 ok\r\n", "malformed"},
    {"four digits", "2500 ok\r\n", "malformed"},
    {"code below 200", "150 x\r\n", "malformed"},
    {"code above 599", "600 x\r\n", "malformed"},
    {"text without separator", "250ok\r\n", "malformed"},
    {"tab as separator", "250\tok\r\n", "malformed"},
    {"blank before the code", " 250 ok\r\n", "malformed"},
    {"CR within the code", "2\r50 ok\r\n", "malformed"},
    {"CR behind the code", "250\rok\r\n", "malformed"},
    {"TLS alert", "\x15\x03\x01\x00\x02\x02"sv, "malformed"},
    {"HTTP", "HTTP/1.1 400 Bad Request\r\n", "malformed"},
    {"good, then bad", "250 a\r\nnonsense\r\n", "250 a|malformed"},
};

TEST(Reply, EveryCaseAtEveryCut) {
  for (const Case& item : kCases) {
    SCOPED_TRACE(item.name);
    EXPECT_EQ(parse_all_ways(item.input), item.expected);
  }
}

TEST(Reply, TextKeepsItsLines) {
  ReplyParser parser;
  const auto step = parser.step(as_bytes("250-mx.example\r\n250-SIZE 100\r\n250 HELP\r\nrest"));
  EXPECT_EQ(step.state, ReplyParser::State::complete);
  EXPECT_EQ(step.consumed, 40U);
  EXPECT_EQ(parser.reply().text, "mx.example\nSIZE 100\nHELP");
  EXPECT_EQ(parser.reply().line(), "250 mx.example SIZE 100 HELP");
}

TEST(Reply, LineTooLongIsMalformed) {
  const std::string fits = "250 " + std::string(ReplyParser::kLineMax - 4, 'x') + "\r\n";
  const std::string longer = "250 " + std::string(ReplyParser::kLineMax - 3, 'x') + "\r\n";
  ReplyParser parser;
  EXPECT_EQ(parser.step(as_bytes(fits)).state, ReplyParser::State::complete);
  EXPECT_EQ(parser.step(as_bytes(longer)).state, ReplyParser::State::malformed);
  EXPECT_FALSE(parser.problem().empty());
}

TEST(Reply, EndlessLineIsMalformedBeforeItEnds) {
  ReplyParser parser;
  const std::string piece = "250 " + std::string(996, 'x');
  auto state = ReplyParser::State::more;
  size_t fed = 0;
  while (state == ReplyParser::State::more && fed < 10) {
    state = parser.step(as_bytes(fed == 0 ? std::string_view(piece) : piece.substr(4))).state;
    ++fed;
  }
  EXPECT_EQ(state, ReplyParser::State::malformed);
}

TEST(Reply, TooManyLinesAreMalformedAndTextIsBounded) {
  std::string lines;
  for (size_t i = 1; i < ReplyParser::kLinesMax; ++i) {
    lines += "250-" + std::string(100, 'x') + "\r\n";
  }
  ReplyParser parser;
  EXPECT_EQ(parser.step(as_bytes(lines + "250 end\r\n")).state, ReplyParser::State::complete);
  EXPECT_EQ(parser.reply().text.size(), ReplyParser::kTextMax);
  EXPECT_EQ(parser.step(as_bytes(lines + "250-\r\n250 end\r\n")).state,
            ReplyParser::State::malformed);
}

TEST(Reply, RandomOctetsNeverBreakTheBounds) {
  Prng random(7);
  constexpr std::string_view kAlphabet = "250-25 \r\n\r\n5.1.1 ab\0\xFF"sv;
  for (int round = 0; round < 20'000; ++round) {
    std::string input;
    const uint64_t length = random.below(60);
    for (uint64_t i = 0; i < length; ++i) input += kAlphabet[random.below(kAlphabet.size())];
    if (random.below(2) == 0) input = "250-" + input;
    ReplyParser whole_parser, cut_parser;
    const std::string whole = parse(whole_parser, {input});
    const size_t cut = random.below(input.size() + 1);
    const std::string_view view = input;
    ASSERT_EQ(parse(cut_parser, {view.substr(0, cut), view.substr(cut)}), whole) << input;
  }
}

TEST(EnhancedStatus, Parse) {
  EXPECT_EQ(parse_enhanced_status("5.1.1 x").text(), "5.1.1");
  EXPECT_EQ(parse_enhanced_status("4.7.28").text(), "4.7.28");
  EXPECT_FALSE(parse_enhanced_status("3.1.1 x"));
  EXPECT_FALSE(parse_enhanced_status("5.1 x"));
  EXPECT_FALSE(parse_enhanced_status("5..1 x"));
  EXPECT_FALSE(parse_enhanced_status("5.1.x"));
  EXPECT_FALSE(parse_enhanced_status(""));
  EXPECT_EQ(EnhancedStatus{}.text(), "");
}

}  // namespace
}  // namespace ringmta::smtp
