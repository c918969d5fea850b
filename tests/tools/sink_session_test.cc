// SPDX-License-Identifier: GPL-3.0-or-later
// The sink's session as a dialogue: what goes in, what comes out, what is counted.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tools/load/mail.h"
#include "tools/sink/session.h"

namespace ringmta::tools {
namespace {

class Dialogue {
 public:
  explicit Dialogue(std::string_view rules = "", SinkOptions options = {})
      : options_(std::move(options)), rules_(std::move(*RuleSet::parse(rules, "rules"))) {
    options_.verify = true;
    context_ = std::make_unique<SinkContext>(options_, rules_, ledger_, samples_, counts_, 0);
    session_ = std::make_unique<SinkSession>(*context_, "127.0.0.1:1", "127.0.0.1:25", listener_);
    session_->start();
  }
  // What the session answers; `piece` octets at a time.
  std::string say(std::string_view text, size_t piece = 100'000) {
    while (!text.empty() && session_->want() == SinkSession::Want::more) {
      const std::string_view part = text.substr(0, piece);
      text.remove_prefix(session_->receive(part));
    }
    unread_ = text;
    return take();
  }
  std::string take() { return std::exchange(session_->out(), {}); }
  std::string open() {
    take();
    return say("EHLO me\r\n");
  }
  SinkSession& session() { return *session_; }
  SinkCounts& counts() { return counts_; }
  Ledger& ledger() { return ledger_; }
  const std::string& unread() const { return unread_; }

 private:
  SinkOptions options_;
  RuleSet rules_;
  Ledger ledger_;
  CorruptSamples samples_;
  SinkCounts counts_;
  ListenerCounts listener_;
  std::unique_ptr<SinkContext> context_;
  std::unique_ptr<SinkSession> session_;
  std::string unread_;
};

constexpr std::string_view kEnvelope = "MAIL FROM:<s@s.test>\r\nRCPT TO:<r@r.test>\r\n";
constexpr std::string_view kEnvelopeReply = "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n";

std::string load_message(uint64_t index) {
  MailOptions options;
  options.size = {800, 800, false};
  const auto source = MailSource::create(options);
  const MailPlan plan = source->plan(index, true);
  std::string text;
  source->append_head(plan, date_text(0), text);
  text += plan.mail->wire_body();
  return text;
}

TEST(SinkSession, PipelinedTransactionIsAnsweredInOneGo) {
  Dialogue dialogue;
  EXPECT_EQ(dialogue.take().substr(0, 4), "220 ");
  EXPECT_NE(dialogue.say("EHLO me\r\n").find("250-PIPELINING\r\n"), std::string::npos);
  EXPECT_EQ(dialogue.say(std::string(kEnvelope) + "DATA\r\n"),
            std::string(kEnvelopeReply) + "354 End with <CRLF>.<CRLF>\r\n");
  EXPECT_EQ(dialogue.say("a\r\n.\r\nQUIT\r\n"), "250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n");
  EXPECT_EQ(dialogue.session().want(), SinkSession::Want::close);
  EXPECT_EQ(dialogue.counts().messages.get(), 1U);
  EXPECT_EQ(dialogue.counts().unmarked.get(), 1U);
}

TEST(SinkSession, SameAnswersInPiecesOfAnySize) {
  const std::string script = "EHLO me\r\n" + std::string(kEnvelope) + "DATA\r\n" + load_message(0) +
                             ".\r\n" + std::string(kEnvelope) +
                             "BDAT 3\r\nab\nBDAT 0 LAST\r\nQUIT\r\n";
  Dialogue whole;
  const std::string wanted = whole.say(script);
  for (const size_t piece : {size_t{1}, size_t{3}, size_t{50}}) {
    Dialogue dialogue;
    EXPECT_EQ(dialogue.say(script, piece), wanted);
    EXPECT_EQ(dialogue.counts().good.get(), 1U);
    EXPECT_EQ(dialogue.counts().messages.get(), 2U);
  }
}

TEST(SinkSession, RefusesWhatWasNotOffered) {
  SinkOptions options;
  options.eight_bit_mime = options.chunking = options.dsn = options.smtputf8 = false;
  Dialogue dialogue("", options);
  EXPECT_EQ(dialogue.open().find("8BITMIME"), std::string::npos);
  EXPECT_EQ(dialogue.say("MAIL FROM:<a@b> BODY=8BITMIME\r\n").substr(0, 3), "555");
  EXPECT_EQ(dialogue.say("MAIL FROM:<a@b> SMTPUTF8\r\n").substr(0, 3), "555");
  EXPECT_EQ(dialogue.say("MAIL FROM:<a@b>\r\n").substr(0, 3), "250");
  EXPECT_EQ(dialogue.say("RCPT TO:<a@b> NOTIFY=NEVER\r\n").substr(0, 3), "555");
  EXPECT_EQ(dialogue.say("RCPT TO:<a@b>\r\n").substr(0, 3), "250");
  EXPECT_EQ(dialogue.say("BDAT 5 LAST\r\n").substr(0, 3), "500");
  EXPECT_EQ(dialogue.counts().bad_commands.get(), 4U);
}

TEST(SinkSession, CountsInputAheadOfRepliesWithoutPipelining) {
  SinkOptions options;
  options.pipelining = false;
  Dialogue dialogue("", options);
  dialogue.open();
  dialogue.say("MAIL FROM:<a@b>\r\n");
  EXPECT_EQ(dialogue.counts().early_input.get(), 0U);
  dialogue.say("RCPT TO:<a@b>\r\nDATA\r\n");
  EXPECT_EQ(dialogue.counts().early_input.get(), 1U);
}

TEST(SinkSession, ChunksWithoutRecipientsAreReadAndRefused) {
  Dialogue dialogue;
  dialogue.open();
  EXPECT_EQ(dialogue.say("MAIL FROM:<a@b>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"),
            "250 2.1.0 Ok\r\n503 5.5.1 No recipient, no data\r\n250 2.0.0 Ok\r\n");
}

TEST(SinkSession, MessageLargerThanOfferedIsRefused) {
  SinkOptions options;
  options.size_max = 10;
  Dialogue dialogue("", options);
  dialogue.open();
  EXPECT_EQ(dialogue.say("MAIL FROM:<a@b> SIZE=11\r\n").substr(0, 3), "552");
  dialogue.say(std::string(kEnvelope) + "DATA\r\n");
  EXPECT_EQ(dialogue.say("123456789\r\n.\r\n").substr(0, 3), "552");
  EXPECT_EQ(dialogue.counts().messages.get(), 0U);
}

TEST(SinkSession, DelayHoldsTheReplyAndWhatFollows) {
  Dialogue dialogue("[[rule]]\nphase = \"rcpt\"\ndelay = 250\n");
  dialogue.open();
  EXPECT_EQ(dialogue.say(std::string(kEnvelope) + "DATA\r\n"), "250 2.1.0 Ok\r\n");
  EXPECT_EQ(dialogue.session().want(), SinkSession::Want::hold);
  EXPECT_EQ(dialogue.session().hold_ms(), 250U);
  EXPECT_EQ(dialogue.unread(), "DATA\r\n");
  dialogue.session().resume();
  EXPECT_EQ(dialogue.say(std::string(dialogue.unread())),
            "250 2.1.5 Ok\r\n354 End with <CRLF>.<CRLF>\r\n");
}

TEST(SinkSession, RefusedMessageIsNotDelivered) {
  Dialogue dialogue("[[rule]]\nphase = \"dot\"\nlimit = 1\nreply = \"451 4.3.0 again\"\n");
  dialogue.open();
  for (const char* wanted : {"451", "250"}) {
    dialogue.say(std::string(kEnvelope) + "DATA\r\n");
    EXPECT_EQ(dialogue.say(load_message(0) + ".\r\n").substr(0, 3), wanted);
  }
  EXPECT_EQ(dialogue.counts().messages_refused.get(), 1U);
  EXPECT_EQ(dialogue.counts().messages.get(), 1U);
  EXPECT_EQ(dialogue.counts().duplicates.get(), 0U);
}

TEST(SinkSession, DropStallAndReset) {
  struct Case {
    const char* action;
    SinkSession::Want want;
    const char* reply;
  };
  for (const Case& one : {Case{"drop = \"before\"", SinkSession::Want::close, ""},
                          Case{"drop = \"after\"", SinkSession::Want::close, "250 2.0.0 Ok\r\n"},
                          Case{"reset = true", SinkSession::Want::reset, ""},
                          Case{"stall = true", SinkSession::Want::stall, ""},
                          Case{"drop = \"after\"\nreply = \"421 4.3.2 bye\"",
                               SinkSession::Want::close, "421 4.3.2 bye\r\n"}}) {
    Dialogue dialogue(std::string("[[rule]]\nphase = \"dot\"\n") + one.action + "\n");
    dialogue.open();
    dialogue.say(std::string(kEnvelope) + "DATA\r\n");
    EXPECT_EQ(dialogue.say("a\r\n.\r\n"), one.reply) << one.action;
    EXPECT_EQ(dialogue.session().want(), one.want) << one.action;
  }
}

TEST(SinkSession, GreetingThatRefusesEndsTheSession) {
  Dialogue dialogue("[[rule]]\nphase = \"connect\"\nreply = \"554 5.7.1 no\"\n");
  EXPECT_EQ(dialogue.take(), "554 5.7.1 no\r\n");
  EXPECT_EQ(dialogue.session().want(), SinkSession::Want::close);
}

TEST(SinkSession, SplitIsAskedForOnce) {
  Dialogue dialogue("[[rule]]\nphase = \"mail\"\nsplit = 3\nsplit_gap = 20\n");
  dialogue.open();
  dialogue.say("MAIL FROM:<a@b>\r\n");
  const auto split = dialogue.session().take_split();
  EXPECT_EQ(split.octets, 3U);
  EXPECT_EQ(split.gap_ms, 20U);
  EXPECT_EQ(dialogue.session().take_split().octets, 0U);
}

TEST(SinkSession, DuplicatesAfterABrokenConnectionAreUnsure) {
  Dialogue dialogue;
  dialogue.open();
  const std::string transaction = std::string(kEnvelope) + "DATA\r\n" + load_message(0) + ".\r\n";
  dialogue.say(transaction);
  dialogue.say(transaction);
  EXPECT_EQ(dialogue.counts().duplicates.get(), 1U);
  dialogue.session().ended();
  EXPECT_EQ(dialogue.counts().connections_broken.get(), 1U);
  dialogue.say(transaction);
  EXPECT_EQ(dialogue.counts().duplicates.get(), 1U);
  EXPECT_EQ(dialogue.counts().duplicates_unsure.get(), 1U);
}

TEST(SinkSession, CommandsOutOfOrderAreRefused) {
  Dialogue dialogue;
  dialogue.take();
  EXPECT_EQ(dialogue.say("MAIL FROM:<a@b>\r\n").substr(0, 3), "503");
  dialogue.open();
  EXPECT_EQ(dialogue.say("RCPT TO:<a@b>\r\n").substr(0, 3), "503");
  EXPECT_EQ(dialogue.say("DATA\r\n").substr(0, 3), "503");
  EXPECT_EQ(dialogue.say("MAIL FROM:a@b\r\n").substr(0, 3), "501");
  EXPECT_EQ(dialogue.say("MAIL FROM:<\"a>b\"@c>\r\n").substr(0, 3), "250");
  EXPECT_EQ(dialogue.say("MAIL FROM:<>\r\n").substr(0, 3), "503");
  EXPECT_EQ(dialogue.say("DATA\r\n").substr(0, 3), "554");
  EXPECT_EQ(dialogue.say("FOO\r\n").substr(0, 3), "500");
}

}  // namespace
}  // namespace ringmta::tools
