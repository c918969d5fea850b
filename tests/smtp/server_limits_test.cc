// SPDX-License-Identifier: GPL-3.0-or-later
// Every limit of a session, at it and one beyond.
#include <gtest/gtest.h>

#include "server_dialogue.h"

namespace ringmta::smtp {
namespace {

constexpr Cut kCuts[] = {Cut::whole, Cut::octets};

size_t lines(const std::string& text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

TEST(ServerLimits, CommandLine) {
  ServerOptions options;
  options.line_length_max = 100;
  for (const Cut cut : kCuts) {
    Talk talk(options, true, cut);
    talk.ready();
    const auto noop = [](size_t length) { return "NOOP " + std::string(length - 7, 'x') + "\r\n"; };
    EXPECT_EQ(talk.ask(noop(100)), "250 2.0.0 Ok\n");
    EXPECT_EQ(talk.ask(noop(101)), "500 5.5.2 Line too long\n");
    EXPECT_EQ(talk.ask(noop(5000) + "NOOP\r\n"), "500 5.5.2 Line too long\n250 2.0.0 Ok\n");
    EXPECT_EQ(talk.ask(noop(65'536) + "NOOP\r\n"), "500 5.5.2 Line too long\n250 2.0.0 Ok\n");
    EXPECT_EQ(talk.ask(noop(65'537) + "NOOP\r\n"), "500 5.5.2 Line too long\n");
    EXPECT_TRUE(talk.closed);
  }
}

TEST(ServerLimits, EndlessCommandLine) {
  Talk talk;
  talk.ready();
  for (int i = 0; i < 100 && !talk.closed; ++i) talk.say(std::string(1000, 'x'));
  EXPECT_EQ(talk.replies(), "500 5.5.2 Line too long\n");
  EXPECT_TRUE(talk.closed);
}

TEST(ServerLimits, MessageSizeByData) {
  ServerOptions options;
  options.message_size_max = 300;
  for (const Cut cut : kCuts) {
    for (const std::string_view begin : {"", "..", "a: b\r\n\r\n"}) {
      for (const size_t over : {0U, 1U, 500U}) {
        const size_t stuffed = begin == ".." ? 1 : 0;
        std::string content(begin);
        content += std::string(298 + over + stuffed - content.size(), 'x') + "\r\n";
        Talk talk(options, true, cut);
        EXPECT_EQ(talk.ready().ask(kEnvelope + "DATA\r\n" + content + ".\r\nNOOP\r\n"),
                  kEnvelopeReplies + kGo +
                      (over == 0 ? "250 2.0.0 Ok\n"
                                 : "552 5.3.4 The message is larger than this host takes\n") +
                      "250 2.0.0 Ok\n");
        EXPECT_EQ(talk.told.find("abort") != std::string::npos, over > 0);
      }
    }
  }
}

TEST(ServerLimits, MessageSizeByChunks) {
  ServerOptions options;
  options.message_size_max = 300;
  for (const Cut cut : kCuts) {
    for (const size_t over : {0U, 1U, 500U}) {
      const std::string said = kEnvelope + "BDAT 200\r\n" + std::string(200, '.') + "BDAT " +
                               std::to_string(100 + over) + " LAST\r\n" +
                               std::string(100 + over, 'x') + "NOOP\r\n";
      Talk talk(options, true, cut);
      EXPECT_EQ(talk.ready().ask(said),
                kEnvelopeReplies + "250 2.0.0 Ok\n" +
                    (over == 0 ? "250 2.0.0 Ok\n"
                               : "552 5.3.4 The message is larger than this host takes\n") +
                    "250 2.0.0 Ok\n");
    }
  }
}

TEST(ServerLimits, NoMessageSizeLimit) {
  ServerOptions options;
  options.message_size_max = 0;
  Talk talk(options);
  EXPECT_EQ(talk.ready().ask("MAIL FROM:<a@b> SIZE=99999999999999999999\r\n"), "250 2.1.0 Ok\n");
  EXPECT_EQ(talk.ask("RCPT TO:<a@b>\r\nBDAT 1 LAST\r\nx"), "250 2.1.5 Ok\n250 2.0.0 Ok\n");
}

TEST(ServerLimits, Recipients) {
  ServerOptions options;
  options.recipients_max = 3;
  options.errors_max = 2;
  Talk talk(options);
  std::string said = "MAIL FROM:<a@b>\r\n";
  for (int i = 0; i < 30; ++i) said += "RCPT TO:<c@d>\r\n";
  const std::string replies = talk.ready().ask(said + "DATA\r\nx\r\n.\r\n");
  EXPECT_EQ(replies.substr(0, 63),
            "250 2.1.0 Ok\n250 2.1.5 Ok\n250 2.1.5 Ok\n250 2.1.5 Ok\n452 4.5.3 T");
  EXPECT_EQ(lines(replies), 33U);
  EXPECT_EQ(talk.told.substr(talk.told.find("end")), "end <a@b> <c@d> <c@d> <c@d>\n");
}

TEST(ServerLimits, Commands) {
  ServerOptions options;
  options.commands_max = 4;  // EHLO is one
  for (const Cut cut : kCuts) {
    Talk talk(options, true, cut);
    EXPECT_EQ(talk.ready().ask("NOOP\r\nfoo\r\nNOOP\r\nNOOP\r\nNOOP\r\n"),
              "250 2.0.0 Ok\n500 5.5.2 Command not recognized\n250 2.0.0 Ok\n"
              "421 4.7.0 Too many commands in one session\n");
    EXPECT_EQ(talk.told, "close\n");
  }
}

TEST(ServerLimits, CommandsEndAMessageOnItsWay) {
  ServerOptions options;
  options.commands_max = 4;
  Talk talk(options);
  talk.ready().ask(kEnvelope + "BDAT 1\r\nxNOOP\r\n");
  EXPECT_EQ(talk.told, "begin <a@one.example> <b@two.example>\nabort\nclose\n");
}

TEST(ServerLimits, Errors) {
  ServerOptions options;
  options.errors_max = 3;
  for (const Cut cut : kCuts) {
    Talk talk(options, true, cut);
    EXPECT_EQ(talk.ready().ask("foo\r\nNOOP\r\nRCPT TO:<a@b>\r\nRSET\r\nMAIL\r\nfoo\r\nNOOP\r\n"),
              "500 5.5.2 Command not recognized\n250 2.0.0 Ok\n503 5.5.1 MAIL comes first\n"
              "250 2.0.0 Ok\n501 5.5.4 Syntax: MAIL FROM:<address>\n421 4.7.0 Too many errors\n");
    EXPECT_TRUE(talk.closed);
  }
}

TEST(ServerLimits, AnAcceptedMessageForgivesErrors) {
  ServerOptions options;
  options.errors_max = 3;
  Talk talk(options);
  talk.ready();
  for (int i = 0; i < 10; ++i) {
    talk.say("foo\r\nbar\r\n" + kEnvelope + "DATA\r\nx\r\n.\r\n");
  }
  EXPECT_FALSE(talk.closed);
  EXPECT_EQ(talk.contents.size(), 10U);
}

// Our own trouble is not the client's error.
TEST(ServerLimits, RefusalsForWantOfStorageAreNotErrors) {
  ServerOptions options;
  options.errors_max = 3;
  Talk talk(options);
  talk.refuse_message = "452 4.3.1 No room";
  talk.ready();
  for (int i = 0; i < 10; ++i) talk.say(kEnvelope + "DATA\r\n");
  for (int i = 0; i < 10; ++i) talk.say(kEnvelope + "BDAT 1 LAST\r\nx");
  EXPECT_FALSE(talk.closed);
}

TEST(ServerLimits, RefusedContentsAreErrors) {
  ServerOptions options;
  options.errors_max = 3;
  Talk talk(options);
  talk.ready();
  for (int i = 0; i < 3; ++i) talk.say(kEnvelope + "BDAT 5 LAST\r\na\nb\r\n");
  EXPECT_FALSE(talk.closed);
  talk.say("NOOP\r\n");
  EXPECT_TRUE(talk.closed);
}

TEST(ServerLimits, Messages) {
  ServerOptions options;
  options.messages_max = 2;
  Talk talk(options);
  talk.ready().ask(kEnvelope + "DATA\r\na\r\n.\r\n" + kEnvelope + "BDAT 1 LAST\r\nx");
  EXPECT_EQ(talk.ask("MAIL FROM:<a@b>\r\n"), "421 4.7.0 Too many messages in one session\n");
  EXPECT_TRUE(talk.closed);
  EXPECT_EQ(talk.contents.size(), 2U);
}

TEST(ServerLimits, Hops) {
  ServerOptions options;
  options.hops_max = 3;
  const std::string hop = "Received: from a by b; now\r\n";
  for (const Cut cut : kCuts) {
    Talk talk(options, true, cut);
    EXPECT_EQ(talk.ready().ask(kEnvelope + "DATA\r\n" + hop + hop + hop + "\r\n" + hop + ".\r\n"),
              kEnvelopeReplies + kGo + "250 2.0.0 Ok\n");
    EXPECT_EQ(talk.ask(kEnvelope + "DATA\r\n" + hop + hop + hop + hop + "\r\nx\r\n.\r\n"),
              kEnvelopeReplies + kGo + "554 5.4.6 Too many hops: the message is in a loop\n");
    EXPECT_EQ(talk.ask(kEnvelope + "BDAT 112 LAST\r\n" + hop + hop + hop + hop),
              kEnvelopeReplies + "554 5.4.6 Too many hops: the message is in a loop\n");
  }
}

TEST(ServerLimits, ContentLine) {
  ServerOptions options;
  options.text_line_length_max = 20;
  for (const Cut cut : kCuts) {
    Talk talk(options, true, cut);
    const std::string line(20, 'x');
    EXPECT_EQ(talk.ready().ask(kEnvelope + "DATA\r\n" + line + "\r\n." + line + "\r\n.\r\n"),
              kEnvelopeReplies + kGo + "250 2.0.0 Ok\n");
    EXPECT_EQ(
        talk.ask(kEnvelope + "DATA\r\na: b\r\n\r\n" + line + "y\r\n.\r\n"),
        kEnvelopeReplies + kGo + "554 5.6.0 The message has a line longer than this host takes\n");
    EXPECT_EQ(talk.ask(kEnvelope + "BDAT 21 LAST\r\n" + line + "y"),
              kEnvelopeReplies + "554 5.6.0 The message has a line longer than this host takes\n");
  }
}

}  // namespace
}  // namespace ringmta::smtp
