// SPDX-License-Identifier: GPL-3.0-or-later
// DATA and BDAT: what content comes out, when it is refused, and how replies wait for the disk.
#include <gtest/gtest.h>

#include "server_dialogue.h"

namespace ringmta::smtp {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

std::string chunk(std::string_view octets, bool last) {
  return "BDAT " + std::to_string(octets.size()) + (last ? " LAST\r\n" : "\r\n") +
         std::string(octets);
}

TEST(ServerContent, DataIsToldInWireForm) {
  Talk talk;
  EXPECT_EQ(talk.ready().ask(kEnvelope + "DATA\r\nSubject: x\r\n\r\n..dot\r\n.\r\n"),
            kEnvelopeReplies + kGo + "250 2.0.0 Ok\n");
  EXPECT_EQ(talk.told,
            "begin <a@one.example> <b@two.example>\nend <a@one.example> <b@two.example>\n");
  ASSERT_EQ(talk.contents.size(), 1U);
  EXPECT_EQ(talk.contents[0], "Subject: x\r\n\r\n..dot\r\n.\r\n");
  EXPECT_TRUE(talk.session().header().has_dot_stuffing);
}

TEST(ServerContent, EmptyContent) {
  Talk talk;
  talk.ready().say(kEnvelope + "DATA\r\n.\r\n" + kEnvelope + "BDAT 0 LAST\r\n");
  EXPECT_EQ(talk.contents, (std::vector<std::string>{".\r\n", ".\r\n"}));
}

TEST(ServerContent, WhatFollowsTheEndAreCommands) {
  Talk talk;
  EXPECT_EQ(
      talk.ready().ask(kEnvelope + "DATA\r\na\r\n.\r\n" + kEnvelope + "DATA\r\nb\r\n.\r\nQUIT\r\n"),
      kEnvelopeReplies + kGo + "250 2.0.0 Ok\n" + kEnvelopeReplies + kGo +
          "250 2.0.0 Ok\n221 2.0.0 Bye\n");
  EXPECT_EQ(talk.contents, (std::vector<std::string>{"\r\na\r\n.\r\n", "\r\nb\r\n.\r\n"}));
}

TEST(ServerContent, HeaderFacts) {
  Talk talk;
  talk.ready().say(kEnvelope +
                   "DATA\r\nReceived: a\r\n b\r\nRECEIVED: c\r\nFrom: x\r\ndate: y\r\n"
                   "Message-ID: <z>\r\n\r\nReceived: no\r\n\xC3\xBC\r\n.\r\n");
  const HeaderFacts& facts = talk.session().header();
  EXPECT_EQ(facts.received_count, 2U);
  EXPECT_TRUE(facts.has_date && facts.has_message_id && facts.has_from && facts.has_eight_bit);
  EXPECT_FALSE(facts.has_dot_stuffing);
  talk.say(kEnvelope + "DATA\r\nSubject: x\r\n\r\nDate: y\r\n.\r\n");
  EXPECT_FALSE(facts.has_date || facts.has_message_id || facts.has_from || facts.has_eight_bit);
}

// As DATA, as one BDAT and as a BDAT for each octet, whole and cut: what the owner stores.
void expect_stored(const std::string& content, const std::string& in_front) {
  std::string stuffed = content.starts_with('.') ? "." + content : content;
  const std::string wire = in_front + stuffed + ".\r\n";
  std::string chunks;
  for (size_t i = 0; i < content.size(); ++i) {
    chunks += chunk(content.substr(i, 1), i + 1 == content.size());
  }
  for (const Cut cut : {Cut::whole, Cut::octets, Cut::random}) {
    Talk talk({}, true, cut, content.size());
    talk.ready().say(kEnvelope + "DATA\r\n" + stuffed + ".\r\n");
    talk.say(kEnvelope + chunk(content, true) + kEnvelope + chunks);
    EXPECT_EQ(talk.contents, (std::vector<std::string>(3, wire)));
    EXPECT_EQ(talk.session().header().has_date, in_front.empty() && content.find("Date:") < 999);
  }
}

// Nothing may be read as one of the lines that are put in front, or continue the last of them.
TEST(ServerContent, WhatIsNoHeaderSectionIsBody) {
  const std::string long_name(FirstLine::kNameMax, 'x');
  for (const std::string& first :
       {" a"s, "\ta"s, "  Date: x"s, "just a body line"s, "word"s, ": x"s, "a b: c"s,
        "From bob@one.example Mon Jan  1 00:00:00 2024"s, "Caf\xC3\xA9: x"s, "a\x7F: b"s, "."s,
        ". x"s, ".x y"s, "..."s, "name"s, "name \t"s, long_name + "x: y", long_name + long_name}) {
    SCOPED_TRACE(first.substr(0, 50));
    expect_stored(first + "\r\nDate: x\r\n\r\nmore\r\n", "\r\n");
    expect_stored(first + "\r\n", "\r\n");
  }
}

TEST(ServerContent, AHeaderSectionStaysAsItIs) {
  const std::string long_name(FirstLine::kNameMax, 'x');
  for (const std::string& first :
       {"a: b"s, "a: b\r\n c"s, "a:"s, "Subject \t : old"s, "X-!#$%&'*+/=?^_`{|}~1: odd"s, ".a: b"s,
        "..: b"s, long_name + ": y", "\r\nbody"s}) {
    SCOPED_TRACE(first.substr(0, 50));
    expect_stored(first + "\r\n", "");
  }
  expect_stored("a: b\r\nDate: x\r\n\r\nmore\r\n", "");
  expect_stored("\r\n", "");
}

// A dot that only stuffs is not of the line: behind it are white space and no field.
TEST(ServerContent, AStuffingDotHidesNoFirstLine) {
  for (const Cut cut : {Cut::whole, Cut::octets}) {
    Talk talk({}, true, cut);
    talk.ready().say(kEnvelope + "DATA\r\n. x: y\r\n.\r\n");
    talk.say(kEnvelope + "DATA\r\n.x y\r\n.\r\n" + kEnvelope + "DATA\r\n.x: y\r\n.\r\n");
    EXPECT_EQ(talk.contents, (std::vector<std::string>{"\r\n. x: y\r\n.\r\n", "\r\n.x y\r\n.\r\n",
                                                       ".x: y\r\n.\r\n"}));
  }
}

// What is held until its first line is known counts like what is not.
TEST(ServerContent, HeldOctetsAreOfTheContent) {
  ServerOptions options;
  options.message_size_max = 10;
  for (const Cut cut : {Cut::whole, Cut::octets}) {
    Talk talk(options, true, cut);
    talk.ready();
    EXPECT_EQ(
        talk.ask(kEnvelope + chunk("12345678", false) + chunk("901", true)),
        kEnvelopeReplies + "250 2.0.0 Ok\n552 5.3.4 The message is larger than this host takes\n");
    EXPECT_EQ(talk.ask(kEnvelope + "DATA\r\n12345678901\r\n.\r\n"),
              kEnvelopeReplies + kGo + "552 5.3.4 The message is larger than this host takes\n");
    EXPECT_EQ(
        talk.ask(kEnvelope + chunk("Subj", false) + "RSET\r\n" + kEnvelope + chunk("ect: x", true)),
        kEnvelopeReplies + "250 2.0.0 Ok\n250 2.0.0 Ok\n" + kEnvelopeReplies + "250 2.0.0 Ok\n");
    EXPECT_EQ(talk.contents, (std::vector<std::string>{"ect: x\r\n.\r\n"}));
  }
}

TEST(ServerContent, ChunksBecomeWireForm) {
  struct Case {
    std::vector<std::string_view> chunks;
    std::string_view wire;
    bool stuffed;
  };
  const Case cases[] = {
      {{"a\r\n"}, "a\r\n.\r\n", false},
      {{"a"}, "a\r\n.\r\n", false},
      {{"a\r\n", ""}, "a\r\n.\r\n", false},
      {{"", "", "a\r\n", ""}, "a\r\n.\r\n", false},
      {{".\r\n"}, "..\r\n.\r\n", true},
      {{"."}, "..\r\n.\r\n", true},
      {{"..\r\n.a\r\n...\r\n"}, "...\r\n..a\r\n....\r\n.\r\n", true},
      {{"a\r\n.\r\nQUIT\r\n"}, "a\r\n..\r\nQUIT\r\n.\r\n", true},
      {{"a\r", "\n.\r\n"}, "a\r\n..\r\n.\r\n", true},
      {{"a\r\n", ".", "\r\nb"}, "a\r\n..\r\nb\r\n.\r\n", true},
      {{"a.b", ".c\r\n"}, "a.b.c\r\n.\r\n", false},
      {{"a\r\n."}, "a\r\n..\r\n.\r\n", true},
      {{"a\r\n.", "."}, "a\r\n...\r\n.\r\n", true},
  };
  for (const Case& item : cases) {
    for (const Cut cut : {Cut::whole, Cut::octets}) {
      Talk talk({}, true, cut);
      std::string said = kEnvelope, replies = kEnvelopeReplies;
      for (size_t i = 0; i < item.chunks.size(); ++i) {
        said += chunk(item.chunks[i], i + 1 == item.chunks.size());
        replies += "250 2.0.0 Ok\n";
      }
      EXPECT_EQ(talk.ready().ask(said + "NOOP\r\n"), replies + "250 2.0.0 Ok\n") << said;
      ASSERT_EQ(talk.contents.size(), 1U) << said;
      // They have no header section: an empty line keeps them from being read as one.
      EXPECT_EQ(talk.contents[0], "\r\n" + std::string(item.wire)) << said;
      EXPECT_EQ(talk.session().header().has_dot_stuffing, item.stuffed) << said;
    }
  }
}

// A CR that nothing follows would meet the CRLF that is added.
TEST(ServerContent, ChunksThatEndWithCr) {
  const std::string cr = "554 5.6.0 The message has a CR without LF in it (RFC 5321 2.3.8)\n";
  Talk talk;
  EXPECT_EQ(talk.ready().ask(kEnvelope + chunk("a\r", true)), kEnvelopeReplies + cr);
  EXPECT_EQ(talk.ask(kEnvelope + chunk("\r", false) + chunk("", true)),
            kEnvelopeReplies + "250 2.0.0 Ok\n" + cr);
  EXPECT_TRUE(talk.contents.empty());
}

TEST(ServerContent, DotStuffingTakesNoCopy) {
  ServerOptions options;
  ServerSession session(options, true);
  session.greet();
  const std::string said = "EHLO x\r\n" + kEnvelope + chunk("a: b\r\n.b\r\n", true);
  std::string_view rest = said;
  int inside = 0, outside = 0;
  while (true) {
    const ServerSession::Step step = session.step(as_bytes(rest));
    rest.remove_prefix(step.consumed);
    if (step.action == ServerSession::Action::message_begin) session.accept_message();
    if (step.action == ServerSession::Action::message_end) break;
    if (step.action != ServerSession::Action::body) continue;
    const bool within =
        step.body.data() >= said.data() && step.body.data() < said.data() + said.size();
    ++(within ? inside : outside);
  }
  EXPECT_EQ(inside, 2);
  EXPECT_EQ(outside, 1);  // the closing text
}

TEST(ServerContent, ChunkSyntax) {
  for (const std::string_view bad :
       {"BDAT\r\n", "BDAT \r\n", "BDAT x\r\n", "BDAT -1\r\n", "BDAT 1 FIRST\r\n",
        "BDAT 1 LAST LAST\r\n", "BDAT 1LAST\r\n", "BDAT LAST\r\n", "BDAT 99999999999999999999\r\n",
        "BDAT 4611686018427387905\r\n", "BDAT 0x1\r\n"}) {
    Talk talk;
    talk.ready().say(kEnvelope);
    talk.replies();
    EXPECT_EQ(talk.ask(std::string(bad) + "QUIT\r\n").substr(0, 9), "501 5.5.4") << bad;
    EXPECT_EQ(talk.told, "close\n") << bad;  // nobody knows where commands begin again
  }
  for (const std::string_view good :
       {"BDAT 1 LAST\r\na", "bdat 1 last\r\na", "BDAT  1  LAST \r\na", "BDAT 01 LAST\r\na"}) {
    Talk talk;
    talk.ready().say(kEnvelope);
    talk.replies();
    EXPECT_EQ(talk.ask(good), "250 2.0.0 Ok\n") << good;
  }
}

TEST(ServerContent, RefusedChunksAreReadAndAnsweredAlike) {
  Talk talk;
  const std::string refused = "503 5.5.1 MAIL comes first\n";
  EXPECT_EQ(talk.ready().ask(chunk("QUIT\r\n", false) + chunk("QUIT\r\n", false) +
                             chunk("QUIT\r\n", true) + "NOOP\r\n"),
            refused + refused + refused + "250 2.0.0 Ok\n");
  EXPECT_EQ(talk.ask("MAIL FROM:<a@b>\r\n" + chunk("QUIT\r\n", true)),
            "250 2.1.0 Ok\n503 5.5.1 RCPT comes first\n");
  EXPECT_EQ(talk.ask("MAIL FROM:<a@b>\r\nRCPT TO:<x>\r\n" + chunk("QUIT\r\n", false)).substr(84),
            "554 5.5.1 No valid recipients\n");
  EXPECT_EQ(talk.ask(chunk("QUIT\r\n", true)), "554 5.5.1 No valid recipients\n");
  EXPECT_EQ(talk.ask(chunk("QUIT\r\n", true)), refused);
  EXPECT_EQ(talk.told, "");
}

TEST(ServerContent, ChunkThatIsRefusedEndsTheTransaction) {
  const std::string lf = "554 5.6.0 The message has an LF without CR in it (RFC 5321 2.3.8)\n";
  Talk talk;
  EXPECT_EQ(
      talk.ready().ask(kEnvelope + chunk("a\r\n", false) + chunk("b\nc", false) +
                       chunk("d\r\n", false) + chunk("e\r\n", true) + kEnvelope + chunk("f", true)),
      kEnvelopeReplies + "250 2.0.0 Ok\n" + lf + lf + lf + kEnvelopeReplies + "250 2.0.0 Ok\n");
  EXPECT_EQ(talk.contents, (std::vector<std::string>{"\r\nf\r\n.\r\n"}));

  Talk restarted;
  restarted.ready().ask(kEnvelope + chunk("b\nc", false));
  EXPECT_EQ(restarted.ask("RCPT TO:<x@y>\r\nDATA\r\nRSET\r\n" + chunk("a", true)),
            "503 5.5.1 MAIL comes first\n503 5.5.1 MAIL comes first\n250 2.0.0 Ok\n"
            "503 5.5.1 MAIL comes first\n");
}

TEST(ServerContent, BetweenChunks) {
  Talk talk;
  talk.ready().ask(kEnvelope + chunk("a\r\n", false));
  EXPECT_TRUE(talk.session().in_content());
  EXPECT_EQ(talk.ask("MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\nNOOP\r\n"),
            "503 5.5.1 MAIL was said already; RSET begins anew\n"
            "503 5.5.1 The message is on its way already\n"
            "503 5.5.1 DATA and BDAT cannot share a message\n250 2.0.0 Ok\n");
  EXPECT_EQ(talk.ask("RSET\r\n"), "250 2.0.0 Ok\n");
  EXPECT_EQ(talk.told, "begin <a@one.example> <b@two.example>\nabort\n");

  for (const std::string_view last : {"QUIT\r\n", "BDAT x\r\n"}) {
    Talk other;
    other.ready().ask(kEnvelope + chunk("a\r\n", false) + std::string(last));
    EXPECT_EQ(other.told, "begin <a@one.example> <b@two.example>\nabort\nclose\n");
  }
  Talk greeted;
  greeted.ready().ask(kEnvelope + chunk("a\r\n", false) + "EHLO x\r\n");
  EXPECT_EQ(greeted.told, "begin <a@one.example> <b@two.example>\nabort\n");
}

TEST(ServerContent, RefusedByTheOwner) {
  Talk talk;
  talk.refuse_message = "452 4.3.1 No room";
  EXPECT_EQ(talk.ready().ask(kEnvelope + "DATA\r\n" + kEnvelope),
            kEnvelopeReplies + "452 4.3.1 No room\n" + kEnvelopeReplies);
  EXPECT_EQ(
      talk.ask("RSET\r\n" + kEnvelope + chunk("QUIT\r\n", false) + chunk("QUIT\r\n", true) +
               "NOOP\r\n"),
      "250 2.0.0 Ok\n" + kEnvelopeReplies + "452 4.3.1 No room\n452 4.3.1 No room\n250 2.0.0 Ok\n");
  EXPECT_TRUE(talk.contents.empty());
  EXPECT_EQ(talk.told.find("abort"), std::string::npos);
  EXPECT_FALSE(talk.session().in_transaction());
}

TEST(ServerContent, ShuttingDownWithin) {
  for (const std::string_view said : {"DATA\r\n", "BDAT 6 LAST\r\nQUIT\r\n"}) {
    Talk talk;
    talk.refuse_message = "421 4.3.2 Shutting down";
    EXPECT_EQ(talk.ready().ask(kEnvelope + std::string(said)),
              kEnvelopeReplies + "421 4.3.2 Shutting down\n");
    EXPECT_TRUE(talk.closed);
  }
}

// The owner runs out of memory while the content arrives, or just when it was complete.
TEST(ServerContent, RefusedOnTheWay) {
  const std::string content = "a: b\r\nb\r\n";
  for (const Cut cut : {Cut::whole, Cut::octets}) {
    for (size_t at = 1; at <= content.size() + 3; ++at) {
      Talk talk({}, true, cut);
      talk.refuse_content_at = at;
      EXPECT_EQ(talk.ready().ask(kEnvelope + "DATA\r\n" + content + ".\r\nNOOP\r\n"),
                kEnvelopeReplies + kGo + "452 4.3.1 No room\n250 2.0.0 Ok\n");
      EXPECT_EQ(talk.told, "begin <a@one.example> <b@two.example>\nabort\n");
    }
    for (size_t at = 1; at <= content.size() + 3; ++at) {
      Talk talk({}, true, cut);
      talk.refuse_content_at = at;
      EXPECT_EQ(talk.ready().ask(kEnvelope + chunk(content, true) + "NOOP\r\n"),
                kEnvelopeReplies + "452 4.3.1 No room\n250 2.0.0 Ok\n");
      EXPECT_EQ(talk.told, "begin <a@one.example> <b@two.example>\nabort\n");
    }
  }
}

TEST(ServerContent, RefusedBetweenChunks) {
  Talk talk;
  talk.ready().ask(kEnvelope + chunk("a\r\n", false));
  talk.session().refuse_content("452 4.3.1 No room");
  EXPECT_EQ(talk.ask(chunk("b\r\n", false) + chunk("c\r\n", true) + "NOOP\r\n"),
            "452 4.3.1 No room\n452 4.3.1 No room\n250 2.0.0 Ok\n");
  EXPECT_EQ(talk.told, "begin <a@one.example> <b@two.example>\nabort\n");
}

TEST(ServerContent, RepliesWaitForTheDisk) {
  Talk talk;
  talk.hold_answers = true;
  EXPECT_EQ(talk.ready().ask(kEnvelope + "DATA\r\na\r\n.\r\nNOOP\r\n" + kEnvelope +
                             chunk("b", true) + "VRFY x\r\n"),
            kEnvelopeReplies + kGo);
  EXPECT_EQ(talk.session().pending(), 2U);
  EXPECT_FALSE(talk.session().has_output());
  talk.answer("250 2.0.0 Ok: queued as 1");
  EXPECT_EQ(talk.replies(), "250 2.0.0 Ok: queued as 1\n250 2.0.0 Ok\n" + kEnvelopeReplies);
  talk.answer("452 4.3.1 No room");
  EXPECT_EQ(talk.replies().substr(0, 25), "452 4.3.1 No room\n252 2.0");
  EXPECT_EQ(talk.ask("QUIT\r\n"), "221 2.0.0 Bye\n");
}

TEST(ServerContent, QuitWaitsForTheDiskToo) {
  Talk talk;
  talk.hold_answers = true;
  talk.ready().say(kEnvelope + "DATA\r\na\r\n.\r\nQUIT\r\n");
  EXPECT_TRUE(talk.closed);
  EXPECT_EQ(talk.replies(), kEnvelopeReplies + kGo);
  talk.answer();
  EXPECT_EQ(talk.replies(), "250 2.0.0 Ok\n221 2.0.0 Bye\n");
}

TEST(ServerContent, SoManyPlacesAndNoMore) {
  Talk talk;
  talk.hold_answers = true;
  std::string said;
  for (uint32_t i = 0; i < 2 * ServerSession::kPendingMax; ++i) {
    said += kEnvelope + "DATA\r\na\r\n.\r\n";
  }
  talk.ready().say(said + "QUIT\r\n");
  EXPECT_EQ(talk.session().pending(), ServerSession::kPendingMax);
  EXPECT_TRUE(talk.blocked);
  talk.say("");
  EXPECT_TRUE(talk.blocked);
  for (uint32_t i = 0; i < 2 * ServerSession::kPendingMax; ++i) {
    talk.answer();
    talk.say("");
  }
  EXPECT_TRUE(talk.closed);
  EXPECT_EQ(talk.contents.size(), 2 * ServerSession::kPendingMax);
  std::string replies;
  for (uint32_t i = 0; i < 2 * ServerSession::kPendingMax; ++i) {
    replies += kEnvelopeReplies + kGo + "250 2.0.0 Ok\n";
  }
  EXPECT_EQ(talk.replies(), replies + "221 2.0.0 Bye\n");
}

// What piles up behind an open place is bounded as well.
TEST(ServerContent, HeldRepliesAreBounded) {
  Talk talk;
  talk.hold_answers = true;
  talk.ready().say(kEnvelope + "DATA\r\na\r\n.\r\n");
  std::string noops;
  for (int i = 0; i < 5000; ++i) noops += "NOOP\r\n";
  talk.say(noops);
  EXPECT_TRUE(talk.blocked);
  talk.replies();
  talk.answer();
  talk.say("");
  EXPECT_FALSE(talk.blocked);
  const std::string replies = talk.replies();
  EXPECT_EQ(std::count(replies.begin(), replies.end(), '\n'), 5001);
}

}  // namespace
}  // namespace ringmta::smtp
