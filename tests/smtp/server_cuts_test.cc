// SPDX-License-Identifier: GPL-3.0-or-later
// The network cuts where it likes: every dialogue gives the same replies, the same messages and the
// same news to the owner, cut at every octet. And no octets at all do harm.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server_dialogue.h"

namespace ringmta::smtp {
namespace {

using namespace std::string_view_literals;

std::string play(std::string_view said, const ServerOptions& options, Cut cut, size_t at) {
  Talk talk(options, true, cut, at);
  talk.cut_at = at;
  talk.session().greet();
  talk.say(said);
  std::string all = talk.replies() + "----\n" + talk.told;
  for (const std::string& content : talk.contents) all += "----\n" + content;
  return all + (talk.session().in_transaction() ? "in transaction" : "");
}

void expect_same_at_every_cut(std::string_view said, const ServerOptions& options) {
  const std::string whole = play(said, options, Cut::whole, 0);
  for (size_t at = 1; at < said.size(); ++at) {
    ASSERT_EQ(play(said, options, Cut::once, at), whole) << "cut at " << at << " of\n" << said;
  }
  ASSERT_EQ(play(said, options, Cut::octets, 0), whole) << said;
  for (size_t seed = 0; seed < 20; ++seed) {
    ASSERT_EQ(play(said, options, Cut::random, seed), whole) << said;
  }
}

TEST(ServerCuts, EveryDialogueAtEveryOctet) {
  ServerOptions options;
  options.message_size_max = 400;
  options.line_length_max = 120;
  options.recipients_max = 3;
  options.hops_max = 2;
  const std::string hops = "Received: a\r\nReceived: b\r\nReceived: c\r\n";
  const std::string dialogues[] = {
      "EHLO x\r\n" + kEnvelope + "DATA\r\nDate: x\r\nFrom: y\r\n\r\nbody\r\n..\r\n.\r\nQUIT\r\n",
      "HELO x\r\n" + kEnvelope + "DATA\r\n.\r\n" + kEnvelope + "DATA\r\n..\r\n.\r\nRSET\r\n",
      "EHLO x\r\n" + kEnvelope + "BDAT 6\r\na\r\n.\r\nBDAT 2\r\n..BDAT 0 LAST\r\nNOOP\r\n",
      "EHLO x\r\n" + kEnvelope + "BDAT 1\r\n BDAT 4 LAST\r\n\r\n.\r\nQUIT\r\n",
      "EHLO x\r\n" + kEnvelope + "BDAT 3\r\na\r\r\nBDAT 1 LAST\r\nb" + kEnvelope,
      "EHLO x\r\n" + kEnvelope + "BDAT 3\r\na\nbBDAT 1\r\nbBDAT 1 LAST\r\nb" + kEnvelope,
      "EHLO x\r\n" + kEnvelope + "BDAT 401\r\n" + std::string(401, 'x') + "BDAT 0 LAST\r\nNOOP\r\n",
      "EHLO x\r\nBDAT 3 LAST\r\nQUI" + kEnvelope + "BDAT x\r\n",
      "EHLO x\r\n" + kEnvelope + "DATA\r\n" + hops + "a\nb\0" + std::string(400, 'x') + "\r\n.\r\n",
      "EHLO x\r\n" + kEnvelope + "DATA\r\n" + hops + "\r\nx\r\n.\r\nNOOP\r\n",
      "EHLO x\r\n" + kEnvelope + "DATA\r\n a\r\n.\r\n" + kEnvelope + "DATA\r\na\r\n b\r\n.\r\n",
      "EHLO x\r\n" + kEnvelope + "DATA\r\n" + std::string(500, 'x') + "\r\n.\r.\r\n.\r\nNOOP\r\n",
      "EHLO x\r\n" + kEnvelope + "DATA\r\n..x y\r\n.\r\n" + kEnvelope + "DATA\r\n.\r\n.\r\n",
      "EHLO x\r\n" + kEnvelope + "BDAT 4\r\nSubjBDAT 5 LAST\r\nect: " + kEnvelope +
          "BDAT 2\r\n.xBDAT 2\r\n: BDAT 0 LAST\r\nQUIT\r\n",
      "EHLO x\r\nNOOP " + std::string(200, 'x') + "\r\nNOOP\nNO\rOP\r\nNOOP\r\n",
      "EHLO x\r\nMAIL FROM:<\xC3\xBC@b> SMTPUTF8\r\nRCPT TO:<\"a b\"@[127.0.0.1]> NOTIFY=DELAY\r\n"
      "RCPT TO:<a@b>\r\nRCPT TO:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\nx\r\n.\r\n",
      "MAIL FROM:<a@b>\r\nfoo\r\nEHLO\r\nEHLO (x)\r\nEHLO x\r\nRCPT TO:<a@b>\r\nDATA\r\nx\r\n.\r\n",
  };
  for (const std::string& said : dialogues) {
    ASSERT_NO_FATAL_FAILURE(expect_same_at_every_cut(said, options));
    ServerOptions narrow = options;
    narrow.text_line_length_max = 10;
    narrow.errors_max = 2;
    narrow.commands_max = 9;
    ASSERT_NO_FATAL_FAILURE(expect_same_at_every_cut(said, narrow));
  }
}

// Fragments of the protocol in any order, with garbage between them.
std::string random_dialogue(Prng& random) {
  static constexpr std::string_view kFragments[] = {"EHLO x\r\n"sv,
                                                    "HELO y\r\n"sv,
                                                    "MAIL FROM:<a@b>\r\n"sv,
                                                    "MAIL FROM:<> SIZE=10\r\n"sv,
                                                    "RCPT TO:<c@d>\r\n"sv,
                                                    "RCPT TO:<c@d> NOTIFY=NEVER\r\n"sv,
                                                    "DATA\r\n"sv,
                                                    "DATA\r\n"sv,
                                                    "BDAT 5\r\n"sv,
                                                    "BDAT 12 LAST\r\n"sv,
                                                    "BDAT 0 LAST\r\n"sv,
                                                    "BDAT 3 LAST\r\n"sv,
                                                    ".\r\n"sv,
                                                    "\r\n.\r\n"sv,
                                                    "RSET\r\n"sv,
                                                    "NOOP\r\n"sv,
                                                    "VRFY a\r\n"sv,
                                                    "a: b\r\n\r\ntext\r\n"sv,
                                                    "Subject"sv,
                                                    ":"sv,
                                                    "."sv,
                                                    "\r\n"sv,
                                                    "\r"sv,
                                                    "\n"sv,
                                                    "\0"sv,
                                                    "\xFF"sv,
                                                    " "sv,
                                                    "x"sv,
                                                    "Received: a\r\n"sv};
  std::string said = "EHLO x\r\n";
  const uint64_t count = 1 + random.below(40);
  for (uint64_t i = 0; i < count; ++i) said += kFragments[random.below(std::size(kFragments))];
  return said;
}

TEST(ServerCuts, RandomDialogues) {
  Prng random(4711);
  ServerOptions options;
  options.errors_max = 0;
  options.message_size_max = 60;
  for (int round = 0; round < 1500; ++round) {
    const std::string said = random_dialogue(random);
    const std::string whole = play(said, options, Cut::whole, 0);
    ASSERT_EQ(play(said, options, Cut::octets, 0), whole) << said;
    for (size_t seed = 0; seed < 4; ++seed) {
      ASSERT_EQ(play(said, options, Cut::random, seed), whole) << said;
    }
  }
}

// The owner refuses, answers late, and is cut off at random.
TEST(ServerCuts, RandomOwners) {
  Prng random(815);
  for (int round = 0; round < 2000; ++round) {
    ServerOptions options;
    options.errors_max = static_cast<uint32_t>(random.below(5));
    options.line_length_max = 40;
    Talk talk(options, random.below(8) != 0, Cut::random, random.next());
    talk.hold_answers = random.below(2) == 0;
    if (random.below(3) == 0) talk.refuse_message = "452 4.3.1 No room";
    talk.refuse_content_at = random.below(3) == 0 ? 1 + random.below(20) : 0;
    talk.session().greet();
    for (int part = 0; part < 4; ++part) {
      talk.say(random_dialogue(random));
      while (talk.unanswered > 0 && random.below(3) != 0) talk.answer();
      talk.replies();
      if (talk.closed) break;
      if (talk.session().in_content() && random.below(4) == 0) {
        talk.session().refuse_content("452 4.3.1 No room");
      }
    }
    if (!talk.closed && random.below(2) == 0) talk.session().end("421 4.3.2 Shutting down");
    while (talk.unanswered > 0) talk.answer();
    const std::string last = talk.replies();
    EXPECT_TRUE(last.empty() || last.back() == '\n');
  }
}

TEST(ServerCuts, RandomOctets) {
  Prng random(99);
  for (int round = 0; round < 2000; ++round) {
    Talk talk({}, true, Cut::random, random.next());
    talk.ready();
    if (round % 3 == 1) talk.say(kEnvelope + "DATA\r\n");
    if (round % 3 == 2) talk.say(kEnvelope + "BDAT 300\r\n");
    std::string said;
    for (uint64_t i = random.below(600); i > 0; --i) said += static_cast<char>(random.below(256));
    talk.say(said);
    for (const char c : talk.replies()) ASSERT_TRUE(c == '\n' || (c >= ' ' && c <= '~'));
  }
}

}  // namespace
}  // namespace ringmta::smtp
