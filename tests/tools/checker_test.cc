// SPDX-License-Identifier: GPL-3.0-or-later
// The digest check notices every change that a relay could make, however the message is cut.
#include "tools/sink/checker.h"

#include <gtest/gtest.h>

#include <string>

#include "tools/load/mail.h"

namespace ringmta::tools {
namespace {

std::string message() {
  MailOptions options;
  options.run = "check";
  options.size = {1500, 1500, false};
  const auto source = MailSource::create(options);
  const MailPlan plan = source->plan(42, true);
  std::string text;
  source->append_head(plan, date_text(1'795'493'299), text);
  return text + plan.mail->body;
}

Verdict check(std::string_view text, size_t piece = 100'000) {
  MessageChecker checker;
  checker.start();
  for (size_t at = 0; at < text.size(); at += piece) checker.feed(text.substr(at, piece));
  return checker.finish();
}

TEST(Checker, GoodHoweverItIsCut) {
  const std::string text = message();
  for (const size_t piece : {size_t{1}, size_t{2}, size_t{17}, size_t{600}, size_t{5000}}) {
    EXPECT_EQ(check(text, piece), Verdict::good) << piece;
  }
}

TEST(Checker, LinesInFrontAreTheRelaysBusiness) {
  EXPECT_EQ(check("Return-Path: <a@b>\r\nReceived: x\r\n\ty\r\n" + message()), Verdict::good);
}

TEST(Checker, NoticesAnyChangedOctet) {
  const std::string text = message();
  const size_t digest_line = text.find(kDigestHeader);
  for (size_t at = 0; at < text.size(); ++at) {
    std::string changed = text;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    // In the names of the mark lines a change makes the message unmarked; nowhere does it stay
    // good.
    EXPECT_NE(check(changed), Verdict::good) << at;
    if (at > digest_line + 60) {
      EXPECT_EQ(check(changed), Verdict::corrupt) << at;
    }
  }
}

TEST(Checker, NoticesLossAndGrowth) {
  const std::string text = message();
  EXPECT_EQ(check(text.substr(0, text.size() - 1)), Verdict::corrupt);
  EXPECT_EQ(check(text.substr(0, text.size() - 2)), Verdict::corrupt);
  EXPECT_EQ(check(text + "."), Verdict::corrupt);
  EXPECT_EQ(check(text + "\r\n"), Verdict::corrupt);
  EXPECT_EQ(check(text.substr(0, text.find("Subject:")) + "X-New: 1\r\n" +
                  text.substr(text.find("Subject:"))),
            Verdict::corrupt);
}

TEST(Checker, AnIdWithoutDigestIsCorrupt) {
  EXPECT_EQ(check("X-Load-Id: run-1\r\nSubject: x\r\n\r\nbody\r\n"), Verdict::corrupt);
  EXPECT_EQ(check("X-Load-Id: run-1\r\nX-Load-Digest: xxh3=zz\r\n\r\nbody\r\n"), Verdict::corrupt);
}

TEST(Checker, OtherMailIsUnmarked) {
  EXPECT_EQ(check(""), Verdict::unmarked);
  EXPECT_EQ(check("Subject: x\r\n\r\nX-Load-Id: run-1\r\n"), Verdict::unmarked);
  EXPECT_EQ(check(std::string(200'000, 'a')), Verdict::unmarked);
}

TEST(Checker, StartForgetsTheLastMessage) {
  MessageChecker checker;
  checker.start();
  checker.feed(message());
  EXPECT_EQ(checker.finish(), Verdict::good);
  checker.start();
  checker.feed("Subject: x\r\n\r\n");
  EXPECT_EQ(checker.finish(), Verdict::unmarked);
}

}  // namespace
}  // namespace ringmta::tools
