// SPDX-License-Identifier: GPL-3.0-or-later
// The replies program: what it says is what happens, and what it cannot mean is refused with its
// line.
#include "tools/sink/rules.h"

#include <gtest/gtest.h>

#include <string>

namespace ringmta::tools {
namespace {

RuleSet parse(std::string_view text) {
  auto rules = RuleSet::parse(text, "test.toml");
  EXPECT_TRUE(rules.has_value()) << rules.error().message;
  return std::move(*rules);
}

std::string error_of(std::string_view text) {
  const auto rules = RuleSet::parse(text, "test.toml");
  return rules ? "" : rules.error().message;
}

Situation rcpt(std::string_view recipient, std::string_view sender = "s@s.test") {
  return {Phase::rcpt, "127.0.0.1:4000", "127.0.0.1:25", sender, recipient};
}

TEST(Glob, StarsAndQuestionMarks) {
  EXPECT_TRUE(glob_matches("*", ""));
  EXPECT_TRUE(glob_matches("*.slow.test", "a.b.SLOW.test"));
  EXPECT_FALSE(glob_matches("*.slow.test", "slow.test"));
  EXPECT_TRUE(glob_matches("a*b*c", "axxbyybzc"));
  EXPECT_FALSE(glob_matches("a*b*c", "axxbyybz"));
  EXPECT_TRUE(glob_matches("us?r@*", "user@x"));
  EXPECT_FALSE(glob_matches("", "x"));
  EXPECT_FALSE(glob_matches("x", ""));
}

TEST(Rules, EmptyProgramMatchesNothing) {
  const RuleSet rules = parse("");
  for (size_t i = 0; i < kPhases; ++i) EXPECT_FALSE(rules.has(static_cast<Phase>(i)));
}

TEST(Rules, FirstMatchingRuleDecides) {
  const RuleSet rules = parse(R"(
    [[rule]]
    phase = "rcpt"
    recipient = "bad@*"
    reply = "550 5.1.1 no such user"
    [[rule]]
    phase = "rcpt"
    domain = "*.test"
    reply = "451 4.7.1 later"
  )");
  Prng prng(1);
  EXPECT_EQ(rules.match(rcpt("bad@a.test"), prng)->code, 550);
  EXPECT_EQ(rules.match(rcpt("good@a.test"), prng)->code, 451);
  EXPECT_EQ(rules.match(rcpt("good@a.example"), prng), nullptr);
  EXPECT_EQ(rules.rules()[0]->matched(), 1U);
  EXPECT_EQ(rules.rules()[1]->matched(), 1U);
}

TEST(Rules, ReplyOfSeveralLinesGetsItsCodeOnEach) {
  const RuleSet rules = parse(R"(
    [[rule]]
    phase = "connect"
    reply = "554-5.7.1 go away\nplease\n554 5.7.1 now"
  )");
  EXPECT_EQ(rules.rules()[0]->action.reply, "554-5.7.1 go away\r\n554-please\r\n554 5.7.1 now\r\n");
}

TEST(Rules, ShareIsAShare) {
  const RuleSet rules = parse("[[rule]]\nphase = \"rcpt\"\nshare = 0.1\nreply = \"451 x\"\n");
  Prng prng(5);
  int hits = 0;
  for (int i = 0; i < 10'000; ++i) hits += rules.match(rcpt("a@b"), prng) != nullptr ? 1 : 0;
  EXPECT_NEAR(hits, 1000, 120);
}

TEST(Rules, FirstCountsPerSenderAndRecipient) {
  const RuleSet rules =
      parse("[[rule]]\nphase = \"rcpt\"\nfirst = 2\nreply = \"451 4.7.1 greylisted\"\n");
  Prng prng(1);
  for (const char* recipient : {"a@x", "b@x"}) {
    EXPECT_NE(rules.match(rcpt(recipient), prng), nullptr);
    EXPECT_NE(rules.match(rcpt(recipient), prng), nullptr);
    EXPECT_EQ(rules.match(rcpt(recipient), prng), nullptr);
  }
  EXPECT_NE(rules.match(rcpt("a@x", "other@s.test"), prng), nullptr);
}

TEST(Rules, LimitEndsARule) {
  const RuleSet rules = parse("[[rule]]\nphase = \"rcpt\"\nlimit = 3\nreply = \"451 x\"\n");
  Prng prng(1);
  for (int i = 0; i < 3; ++i) EXPECT_NE(rules.match(rcpt("a@x"), prng), nullptr);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(rules.match(rcpt("a@x"), prng), nullptr);
  EXPECT_EQ(rules.rules()[0]->matched(), 3U);
}

TEST(Rules, LaterPhasesMatchAnyRecipientOfTheTransaction) {
  const RuleSet rules = parse("[[rule]]\nphase = \"dot\"\ndomain = \"slow.test\"\ndelay = 5\n");
  Prng prng(1);
  EXPECT_TRUE(rules.needs_recipients());
  EXPECT_NE(rules.match({Phase::dot, "p", "l", "s", "a@fast.test\nb@slow.test"}, prng), nullptr);
  EXPECT_EQ(rules.match({Phase::dot, "p", "l", "s", "a@fast.test\nb@other.test"}, prng), nullptr);
}

TEST(Rules, ListenerAndSenderMatch) {
  const RuleSet rules = parse(
      "[[rule]]\nphase = \"mail\"\nsender = \"*@bad.test\"\nlistener = \"127.0.1.*:25\"\nreply = "
      "\"550 5.7.1 x\"\n");
  Prng prng(1);
  EXPECT_NE(rules.match({Phase::mail, "p", "127.0.1.9:25", "x@bad.test", ""}, prng), nullptr);
  EXPECT_EQ(rules.match({Phase::mail, "p", "127.0.2.9:25", "x@bad.test", ""}, prng), nullptr);
  EXPECT_EQ(rules.match({Phase::mail, "p", "127.0.1.9:25", "x@good.test", ""}, prng), nullptr);
}

TEST(Rules, MistakesNameFileLineAndKey) {
  EXPECT_NE(
      error_of("[[rule]]\nphase = \"rcpt\"\nrepply = \"451 x\"\n").find("test.toml:3: 'repply'"),
      std::string::npos);
  EXPECT_NE(error_of("[[rule]]\nphase = \"later\"\n").find("test.toml:2: 'phase'"),
            std::string::npos);
  EXPECT_NE(error_of("[[rule]]\nreply = \"451 x\"\n").find("'phase'"), std::string::npos);
  EXPECT_NE(error_of("[[rule]]\nphase = \"rcpt\"\nreply = \"hello\"\n").find("reply code"),
            std::string::npos);
  EXPECT_NE(error_of("[[rule]]\nphase = \"rcpt\"\nshare = 2\n").find("from 0 to 1"),
            std::string::npos);
  EXPECT_NE(error_of("[[rule]]\nphase = \"rcpt\"\nfirst = \"2\"\n").find("whole number"),
            std::string::npos);
  EXPECT_NE(error_of("[[rule]]\nphase = \"rcpt\"\ndrop = \"now\"\n").find("before"),
            std::string::npos);
  EXPECT_NE(error_of("[[rule]]\nphase = \"mail\"\ndomain = \"x\"\n").find("no recipient yet"),
            std::string::npos);
  EXPECT_NE(error_of("[[rule]]\nphase = \"connect\"\nsender = \"x\"\n").find("no sender"),
            std::string::npos);
  EXPECT_NE(error_of("[rules]\n").find("[[rule]]"), std::string::npos);
  EXPECT_NE(error_of("[[rule]\n").find("test.toml:1"), std::string::npos);
}

}  // namespace
}  // namespace ringmta::tools
