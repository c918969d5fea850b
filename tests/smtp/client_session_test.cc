// SPDX-License-Identifier: GPL-3.0-or-later
// The client session's surface: outputs and what shares one, memory in flight, waiting,
// capabilities, and that no address can inject a command.
#include <gtest/gtest.h>

#include "client_dialogue.h"

namespace ringmta::smtp {
namespace {

// What leaves in one write.
TEST(ClientSession, WholeEnvelopeIsOneOutput) {
  Dialogue dialogue(relay(), Cut::whole, 0);
  dialogue.play(kPipelining + "begin 1\n< 250 ok\n< 250 ok\n< 250 ok\n< 250 ok\n< 354 go\n",
                {{1, kThree}});
  ASSERT_EQ(dialogue.outputs.size(), 3U);
  EXPECT_EQ(dialogue.outputs[1],
            "MAIL FROM:<a@one.example>\nRCPT TO:<b@two>\nRCPT TO:<c@two>\nRCPT TO:<d@two>\nDATA\n");
  EXPECT_EQ(dialogue.outputs[2], "[content 1 dot]\n");
}

TEST(ClientSession, ContentAndNextEnvelopeAreOneOutput) {
  Dialogue dialogue(relay(), Cut::whole, 0);
  dialogue.play(kPipelining + "hold\nbegin 1\n< 250 ok\n< 250 ok\n< 354 go\nbegin 2\nsent\n",
                {{1, {}}, {2, {}}});
  // The 354 found the envelope's send still open; the owner had begun the next when it completed.
  EXPECT_EQ(dialogue.outputs.back(),
            "[content 1 dot]\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nDATA\n");
}

TEST(ClientSession, ChunkedTransactionsShareAnOutput) {
  Dialogue dialogue(relay(), Cut::whole, 0);
  dialogue.play(kChunking + "stuck\nbegin 1\nbegin 2\nsent\n", {{1, {}}, {2, {}}});
  EXPECT_EQ(
      dialogue.outputs.back(),
      "MAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nBDAT 1000 LAST\n[content 1]\n"
      "RSET\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nBDAT 1000 LAST\n[content 2]\n");
}

// What the kernel is still sending is not touched by what is written meanwhile.
TEST(ClientSession, TextInFlightStaysAsItIs) {
  ClientSession session(relay());
  std::vector<ClientSession::OutputPart> parts;
  const auto say = [&](std::string_view text) {
    while (true) {
      const ClientSession::Step step = session.step(as_bytes(text));
      text.remove_prefix(step.consumed);
      if (step.action == ClientSession::Action::more) break;
    }
  };
  say("220 mx\r\n");
  session.take_output(parts);
  session.output_sent();
  say("250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n");
  const RecipientView recipient{"b@two", {}, 0};
  Transaction transaction;
  transaction.envelope = {"a@one", {}, DsnReturn::unspecified, false, false, {&recipient, 1}};
  transaction.content.wire_size = 100;
  for (int round = 0; round < 3; ++round) {
    session.begin(transaction);
    parts.clear();
    session.take_output(parts);
    const std::string before(parts.at(0).text);
    const std::vector<RecipientView> many(1000, recipient);
    Transaction large = transaction;
    large.envelope.recipients = many;
    session.begin(large);
    EXPECT_EQ(parts.at(0).text, before);
    session.output_sent();
    parts.clear();
    session.take_output(parts);
    const std::string expected = "RSET\r\nMAIL FROM:<a@one>\r\nRCPT TO:<b@two>\r\n";
    EXPECT_EQ(parts.at(0).text.substr(0, expected.size()), expected);
    session.output_sent();
    std::string replies = round == 0 ? "" : "250 reset\r\n";
    replies += "250 ok\r\n250 ok\r\n250 taken\r\n250 reset\r\n250 ok\r\n";
    for (int i = 0; i < 1000; ++i) replies += "250 ok\r\n";
    replies += "550 no\r\n";
    std::string_view rest = replies;
    while (true) {
      const ClientSession::Step step = session.step(as_bytes(rest));
      rest.remove_prefix(step.consumed);
      if (step.action == ClientSession::Action::more) break;
      EXPECT_NE(step.action, ClientSession::Action::close);
    }
    EXPECT_EQ(session.transactions_open(), 0U);
  }
}

TEST(ClientSession, FinishedWaitsUntilTheContentIsSent) {
  Dialogue dialogue(relay(), Cut::whole, 0);
  dialogue.play(kChunking + "hold\nbegin 1\n< 250 ok\n< 250 ok\n< 250 taken\n", {{1, {}}});
  EXPECT_EQ(dialogue.told, "ready\n1.0 content 250 taken\n");
  EXPECT_EQ(dialogue.session().transactions_open(), 1U);
  dialogue.play("sent\n", {});
  EXPECT_EQ(dialogue.told, "ready\n1.0 content 250 taken\n1 finished\n");
  EXPECT_EQ(dialogue.session().transactions_open(), 0U);
}

TEST(ClientSession, WaitingForFollowsTheReplies) {
  Dialogue dialogue(relay(), Cut::whole, 0);
  const ClientSession& session = dialogue.session();
  const auto expect = [&](bool waiting, Phase phase) {
    EXPECT_EQ(session.waiting(), waiting);
    EXPECT_EQ(session.waiting_for(), phase);
  };
  expect(true, Phase::greeting);
  dialogue.play("< 220 mx\n", {});
  expect(true, Phase::ehlo);
  dialogue.play("< 250-mx\n< 250 PIPELINING\n", {});
  EXPECT_TRUE(session.ready());
  EXPECT_TRUE(session.can_begin());
  EXPECT_FALSE(session.waiting());
  dialogue.play("begin 1\n", {{1, {}}});
  expect(true, Phase::mail);
  dialogue.play("< 250 ok\n", {});
  expect(true, Phase::recipient);
  dialogue.play("< 250 ok\n", {});
  expect(true, Phase::data);
  dialogue.play("< 354 go\n", {});
  expect(true, Phase::content);
  dialogue.play("< 250 taken\n", {});
  EXPECT_FALSE(session.waiting());
  EXPECT_FALSE(session.exhausted());
  dialogue.play("quit\n", {});
  expect(true, Phase::quit);
  EXPECT_TRUE(session.exhausted());
  dialogue.play("< 221 bye\n", {});
  EXPECT_FALSE(session.waiting());
}

TEST(ClientSession, Capabilities) {
  Dialogue dialogue(relay(), Cut::octets, 0);
  dialogue.play(
      "< 220 mx\n--\n< 250-PIPELINING.example greets\n< 250-size 123456789012\n< 250-8bitMIME\n"
      "< 250-STARTTLS\n< 250-DSN\n< 250-AUTH=LOGIN\n< 250-X-PIPELINING\n"
      "< 250-LIMITS MAILMAX=7 RCPTMAX=99999999999 RCPTMAX=x\n< 250 ENHANCEDSTATUSCODES\n",
      {});
  const Capabilities& found = dialogue.session().capabilities();
  EXPECT_TRUE(found.esmtp && found.eight_bit && found.starttls && found.dsn &&
              found.enhanced_status && found.size);
  EXPECT_FALSE(found.pipelining || found.chunking || found.smtputf8);
  EXPECT_EQ(found.size_max, 123'456'789'012U);
  EXPECT_EQ(found.messages_max, 7U);
  EXPECT_EQ(found.recipients_max, UINT32_MAX);
}

// No address and no parameter can end a line or begin another parameter.
TEST(ClientSession, InjectionIsRefused) {
  const char* const bad[] = {"a@x>\r\nDATA\r\n",
                             "a\nb@x",
                             "a\rb@x",
                             "a@x> NOTIFY=NEVER",
                             "a b@x",
                             "a@x<",
                             "\"a@x",
                             "\"a\"b@x",
                             "\"a\\\"@x",
                             "\"a\"@x y",
                             "a\\@x",
                             "a\x7F@x",
                             "a\tb@x",
                             ""};
  for (const char* address : bad) {
    SCOPED_TRACE(address);
    Dialogue dialogue(relay(), Cut::whole, 0);
    Mail sender;
    sender.from = address;
    dialogue.play(kEverything + "begin 1\nbegin 2\n", {{1, to({address, "b@two"})}, {2, sender}});
    EXPECT_EQ(dialogue.told.substr(0, 25), "ready\n1.0 recipient 5.1.3");
    if (*address != '\0') {
      EXPECT_NE(dialogue.told.find("2.0 ehlo 5.1.7"), std::string::npos);
    }
    EXPECT_EQ(
        dialogue.outputs[1],
        "MAIL FROM:<a@one.example> SIZE=1000\nRCPT TO:<b@two>\nBDAT 1000 LAST\n[content 1]\n");
  }
  for (const char* address :
       {"\"a b>c\"@x", "\"a\\\"\\\\b\"@x", "postmaster", "a@[IPv6:2001:db8::1]", "o'x+y=z@x"}) {
    Dialogue dialogue(relay(), Cut::whole, 0);
    dialogue.play(kChunking + "begin 1\n", {{1, to({address})}});
    EXPECT_EQ(dialogue.told, "ready\n") << address;
  }
  Mail parameters;
  parameters.envelope_id = "x\r\nQUIT";
  parameters.original = {"rfc822;a b"};
  Dialogue dialogue(relay(), Cut::whole, 0);
  dialogue.play(kEverything + "begin 1\n", {{1, parameters}});
  EXPECT_EQ(dialogue.outputs[1],
            "MAIL FROM:<a@one.example> SIZE=1000\nRCPT TO:<b@two.example>\n"
            "BDAT 1000 LAST\n[content 1]\n");
}

}  // namespace
}  // namespace ringmta::smtp
