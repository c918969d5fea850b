// SPDX-License-Identifier: GPL-3.0-or-later
// SMTP smuggling (Longin, 2023): sequences that some server takes for the end of a message and
// another does not, with a second envelope behind. Here they are refused, or plain content; never
// do the octets behind them become commands.
#include <gtest/gtest.h>

#include <algorithm>

#include "server_dialogue.h"

namespace ringmta::smtp {
namespace {

using namespace std::string_view_literals;

const std::string kSmuggled =
    "MAIL FROM:<ceo@one.example>\r\nRCPT TO:<victim@two.example>\r\nDATA\r\nsmuggled\r\n";

std::string shown(std::string_view form) {
  std::string text;
  for (const char c : form) {
    text += c == '\r' ? "<CR>" : c == '\n' ? "<LF>" : c == '\0' ? "<NUL>" : std::string(1, c);
  }
  return text;
}

// What may stand for a line end before and behind the dot: all runs of up to three of CR, LF, NUL
// and what has been tried beside.
std::vector<std::string> line_ends() {
  std::vector<std::string> found = {""};
  for (size_t begin = 0, length = 1; length <= 3; ++length) {
    const size_t end = found.size();
    for (size_t i = begin; i < end; ++i) {
      for (const std::string_view more : {"\r"sv, "\n"sv, "\0"sv}) {
        found.push_back(found[i] + std::string(more));
      }
    }
    begin = end;
  }
  for (const std::string_view more :
       {"\r\n\r\n"sv, "\n\n\n\n"sv, "\r\r\n\n"sv, "\x0B"sv, "\x0C"sv, "\x85"sv, "\xC2\x85"sv,
        "\xE2\x80\xA8"sv, "\xE2\x80\xA9"sv, " \r\n"sv, "\t\r\n"sv, "\r\n "sv, "\b\r\n"sv,
        "\x1A\r\n"sv, "\r\x0B\n"sv, "\r\0\n\0"sv, "\xFF\r\n"sv, "\\r\\n"sv}) {
    found.emplace_back(more);
  }
  return found;
}

struct Form {
  std::string text;
  bool end_of_data = false;
};

std::vector<Form> forms() {
  std::vector<Form> found;
  for (const std::string& before : line_ends()) {
    for (const std::string_view dot : {"."sv, ".."sv, " ."sv, ". "sv, ".\0"sv, "\0."sv}) {
      for (const std::string& behind : line_ends()) {
        const std::string text = before + std::string(dot) + behind;
        found.push_back({text, text.find("\r\n.\r\n") != std::string::npos});
      }
    }
  }
  return found;
}

bool has_bare(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\0') return true;
    if (text[i] == '\r' && (i + 1 == text.size() || text[i + 1] != '\n')) return true;
    if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r')) return true;
  }
  return false;
}

TEST(ServerSmuggling, NoFormEndsTheMessage) {
  const std::vector<Form> all = forms();
  ASSERT_GT(all.size(), 10'000U);
  size_t refused = 0, taken = 0, odd_ends = 0;
  for (const Form& form : all) {
    const std::string content = "Subject: x\r\n\r\ntext" + form.text + kSmuggled + ".\r\n";
    if (form.end_of_data) {  // it is the real one: what follows are the client's commands, unless
      Talk talk;             // what is in front makes another end likely
      talk.ready().ask(kEnvelope + "DATA\r\n" + content);
      const std::string up_to_end =
          "text" + form.text.substr(0, form.text.find("\r\n.\r\n")) + "\r\n";
      ASSERT_EQ(talk.contents.empty(), has_bare(up_to_end)) << shown(form.text);
      if (has_bare(up_to_end)) {
        ASSERT_EQ(talk.told.find("ceo@"), std::string::npos) << shown(form.text);
      }
      odd_ends += has_bare(up_to_end) ? 1 : 0;
      continue;
    }
    for (const Cut cut : {Cut::whole, Cut::octets}) {
      Talk talk({}, true, cut);
      const std::string replies = talk.ready().ask(kEnvelope + "DATA\r\n" + content + "NOOP\r\n");
      const bool bare = has_bare(content);
      ASSERT_EQ(replies.substr(0, 26 + kGo.size()), kEnvelopeReplies + kGo) << shown(form.text);
      ASSERT_EQ(replies.substr(26 + kGo.size(), bare ? 9 : 12), bare ? "554 5.6.0" : "250 2.0.0 Ok")
          << shown(form.text);
      // Behind a content with such octets nothing is read.
      ASSERT_EQ(std::count(replies.begin(), replies.end(), '\n'), bare ? 4 : 5) << shown(form.text);
      ASSERT_EQ(talk.told.find("ceo@"), std::string::npos) << shown(form.text);
      if (bare) {
        ASSERT_TRUE(talk.contents.empty()) << shown(form.text);
      } else {
        ASSERT_EQ(talk.contents, std::vector<std::string>{content}) << shown(form.text);
      }
      ++(bare ? refused : taken);
    }
  }
  EXPECT_GT(refused, 10'000U);
  EXPECT_GT(taken, 100U);
  EXPECT_GT(odd_ends, 10U);
}

// What leaves this relay holds no bare CR, no bare LF and no NUL, and its only end is at its end.
TEST(ServerSmuggling, NoFormComesThroughBdat) {
  for (const Form& form : forms()) {
    const std::string content = "Subject: x\r\n\r\ntext" + form.text + kSmuggled;
    Talk talk;
    talk.ready().say(kEnvelope + "BDAT " + std::to_string(content.size()) + " LAST\r\n" + content +
                     "NOOP\r\n");
    ASSERT_EQ(talk.contents.empty(), has_bare(content)) << shown(form.text);
    ASSERT_EQ(talk.told.find("ceo@"), std::string::npos) << shown(form.text);
    if (talk.contents.empty()) continue;
    const std::string& wire = talk.contents[0];
    ASSERT_FALSE(has_bare(wire)) << shown(form.text);
    ASSERT_EQ(wire.find("\r\n.\r\n"), wire.size() - 5) << shown(form.text);
  }
}

// The form is split from what is around it by the end of a BDAT chunk.
TEST(ServerSmuggling, NoFormComesThroughChunkBorders) {
  for (const std::string_view form :
       {"\r\n.\r\n"sv, "\n.\n"sv, "\n.\r\n"sv, "\r\n.\n"sv, "\r.\r"sv, "\r.\r\n"sv, "\r\n.\r"sv,
        "\r\n\0.\r\n"sv, "\r\n.\0\r\n"sv, "\r\r\n.\r\n"sv, "\r\n.\r\r\n"sv}) {
    for (size_t cut = 0; cut <= form.size(); ++cut) {
      const std::string first = "a: b\r\n\r\ntext" + std::string(form.substr(0, cut));
      const std::string second = std::string(form.substr(cut)) + kSmuggled;
      Talk talk;
      talk.ready().say(kEnvelope + "BDAT " + std::to_string(first.size()) + "\r\n" + first +
                       "BDAT " + std::to_string(second.size()) + " LAST\r\n" + second);
      ASSERT_EQ(talk.contents.empty(), has_bare(first + second)) << shown(form) << cut;
      ASSERT_EQ(talk.told.find("ceo@"), std::string::npos);
      if (talk.contents.empty()) continue;
      ASSERT_EQ(talk.contents[0].find("\r\n.\r\n"), talk.contents[0].size() - 5);
    }
  }
}

// The very beginning of the content counts as behind a CRLF, and nothing else does.
TEST(ServerSmuggling, FormsAtTheBeginning) {
  for (const std::string& behind : line_ends()) {
    const std::string form = "." + behind;
    Talk talk;
    talk.ready().say(kEnvelope + "DATA\r\n" + form + kSmuggled + ".\r\n");
    if (form.starts_with(".\r\n")) {  // an empty message; what follows are the client's commands
      ASSERT_FALSE(talk.contents.empty());
      EXPECT_EQ(talk.contents[0], ".\r\n");
    } else {
      EXPECT_EQ(talk.contents.size(), has_bare(form) ? 0U : 1U) << shown(form);
      EXPECT_EQ(talk.told.find("ceo@"), std::string::npos) << shown(form);
    }
  }
}

}  // namespace
}  // namespace ringmta::smtp
