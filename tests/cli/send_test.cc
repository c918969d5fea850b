// SPDX-License-Identifier: GPL-3.0-or-later
// `ringmta send` against a server that is told how to behave.
#include <gtest/gtest.h>

#include "console.h"
#include "mail_server.h"

namespace ringmta::cli {
namespace {

bool any_starts_with(const std::vector<std::string>& lines, std::string_view start) {
  return std::any_of(lines.begin(), lines.end(),
                     [&](const std::string& line) { return line.starts_with(start); });
}

TEST(Send, HandsAFileIn) {
  MailServer server(plain_answer);
  Directory directory;
  const std::string file = directory.write("mail.eml", "Subject: hello\n\n.dotted\nend\n");
  const Ran ran = run_words(
      {"send", "--server", server.address(), "--from", "ann@a.test", "--to", "bob@b.test", file});
  EXPECT_EQ(ran.status, kDone) << ran.err;
  EXPECT_EQ(ran.out, "bob@b.test: 250 2.0.0 Ok: queued as 06NZR4S8G0000\n");
  EXPECT_EQ(ran.err, "");
  EXPECT_EQ(server.content(), "Subject: hello\r\n\r\n..dotted\r\nend\r\n");
  const auto& commands = server.commands();
  EXPECT_TRUE(any_starts_with(commands, "MAIL FROM:<ann@a.test>"));
  EXPECT_TRUE(any_starts_with(commands, "RCPT TO:<bob@b.test>"));
  EXPECT_EQ(commands.back(), "QUIT");
}

TEST(Send, ReadsStandardInput) {
  for (const std::vector<std::string>& file : {std::vector<std::string>{}, {"-"}}) {
    MailServer server(plain_answer);
    std::vector<std::string> words{"send",       "--server", server.address(), "--from",
                                   "ann@a.test", "--to",     "bob@b.test"};
    words.insert(words.end(), file.begin(), file.end());
    const Ran ran = run_words(words, "Subject: x\r\n\r\nbody\r\n");
    EXPECT_EQ(ran.status, kDone) << ran.err;
    EXPECT_EQ(server.content(), "Subject: x\r\n\r\nbody\r\n");
  }
}

TEST(Send, MakesAHeaderForAText) {
  MailServer server(plain_answer);
  const Ran ran = run_words({"send", "--server", server.address(), "--from", "ann@a.test", "--to",
                             "bob@b.test", "--subject", "caf\xc3\xa9"},
                            "a text\n");
  EXPECT_EQ(ran.status, kDone) << ran.err;
  EXPECT_TRUE(
      server.content().starts_with("From: <ann@a.test>\r\nTo: <bob@b.test>\r\nSubject: "
                                   "=?utf-8?B?Y2Fmw6k=?=\r\nDate: "))
      << server.content();
  EXPECT_TRUE(server.content().ends_with("\r\n\r\na text\r\n")) << server.content();
}

TEST(Send, UsesChunkingWithoutTheFinalDotWhereItIsOffered) {
  MailServer server([](const std::string& line) -> std::string {
    if (line.starts_with("EHLO")) return "250-mx.test\r\n250-PIPELINING\r\n250 CHUNKING\r\n";
    return plain_answer(line);
  });
  const Ran ran =
      run_words({"send", "--server", server.address(), "--from", "a@a.test", "--to", "bob@b.test"},
                "Subject: x\n\nbody\n");
  EXPECT_EQ(ran.status, kDone) << ran.err;
  EXPECT_TRUE(any_starts_with(server.commands(), "BDAT 20 LAST"));
  EXPECT_FALSE(any_starts_with(server.commands(), "."));
  EXPECT_EQ(server.content(), "Subject: x\r\n\r\nbody\r\n");
}

TEST(Send, ToSeveralTellsEachItsVerdict) {
  MailServer server([](const std::string& line) -> std::string {
    if (line.starts_with("RCPT TO:<no@b.test>")) return "550 5.1.1 no such user\r\n";
    if (line.starts_with("RCPT TO:<later@b.test>")) return "450 4.2.0 later\r\n";
    return plain_answer(line);
  });
  const Ran ran = run_words({"send", "--server", server.address(), "--from", "ann@a.test", "--to",
                             "bob@b.test", "--to", "no@b.test", "--to", "later@b.test"},
                            "x\n");
  EXPECT_EQ(ran.status, kFailed);
  EXPECT_EQ(ran.out, "bob@b.test: 250 2.0.0 Ok: queued as 06NZR4S8G0000\n");
  EXPECT_EQ(ran.err, "no@b.test: 550 5.1.1 no such user\nlater@b.test: 450 4.2.0 later\n");
}

TEST(Send, RefusedForNowGivesAnotherStatusThanRefused) {
  MailServer server([](const std::string& line) -> std::string {
    return line == "." ? "452 4.3.1 no room\r\n" : plain_answer(line);
  });
  const Ran ran = run_words(
      {"send", "--server", server.address(), "--from", "a@a.test", "--to", "bob@b.test"}, "x\n");
  EXPECT_EQ(ran.status, kTryAgain);
  EXPECT_EQ(ran.err, "bob@b.test: 452 4.3.1 no room\n");
}

TEST(Send, MoreRecipientsThanTheServerTakesAtOnceGoInTwoTransactions) {
  auto taken = std::make_shared<int>(0);
  MailServer server([taken](const std::string& line) -> std::string {
    if (line.starts_with("MAIL")) *taken = 0;
    if (line.starts_with("RCPT") && ++*taken > 2) return "452 4.5.3 too many recipients\r\n";
    return plain_answer(line);
  });
  const Ran ran = run_words({"send", "--server", server.address(), "--from", "a@a.test", "--to",
                             "r1@b.test", "--to", "r2@b.test", "--to", "r3@b.test"},
                            "x\n");
  EXPECT_EQ(ran.status, kDone) << ran.err;
  const auto& commands = server.commands();
  EXPECT_EQ(std::count_if(commands.begin(), commands.end(),
                          [](const std::string& line) { return line.starts_with("MAIL"); }),
            2);
}

TEST(Send, AServerThatRefusesEverybodyIsAskedOnce) {
  MailServer server([](const std::string& line) -> std::string {
    return line.starts_with("RCPT") ? "452 4.5.3 too many recipients\r\n" : plain_answer(line);
  });
  const Ran ran = run_words(
      {"send", "--server", server.address(), "--from", "a@a.test", "--to", "r1@b.test"}, "x\n");
  EXPECT_EQ(ran.status, kTryAgain);
  EXPECT_EQ(ran.err, "r1@b.test: 452 4.5.3 too many recipients\n");
}

TEST(Send, PassesParametersOn) {
  MailServer server(plain_answer);
  const Ran ran = run_words({"send", "--server", server.address(), "--null-sender", "--to",
                             "\xc3\xbc@b.test", "--notify", "success,delay"},
                            "caf\xc3\xa9\n");
  EXPECT_EQ(ran.status, kDone) << ran.err;
  std::string mail;
  std::string recipient;
  for (const std::string& line : server.commands()) {
    if (line.starts_with("MAIL")) mail = line;
    if (line.starts_with("RCPT")) recipient = line;
  }
  EXPECT_TRUE(mail.starts_with("MAIL FROM:<>")) << mail;
  EXPECT_NE(mail.find(" BODY=8BITMIME"), std::string::npos) << mail;
  EXPECT_NE(mail.find(" SMTPUTF8"), std::string::npos) << mail;
  EXPECT_EQ(recipient, "RCPT TO:<\xc3\xbc@b.test> NOTIFY=SUCCESS,DELAY");
}

TEST(Send, ARefusedGreetingIsTheVerdictOfAll) {
  MailServer server([](const std::string& line) -> std::string {
    return line.empty() ? "554 5.7.1 not you\r\n" : plain_answer(line);
  });
  const Ran ran = run_words({"send", "--server", server.address(), "--from", "a@a.test", "--to",
                             "bob@b.test", "--to", "eve@b.test"},
                            "x\n");
  EXPECT_EQ(ran.status, kFailed);
  EXPECT_EQ(ran.err, "bob@b.test: 554 5.7.1 not you\neve@b.test: 554 5.7.1 not you\n");
}

TEST(Send, AConnectionThatEndsEarlyIsToldAndMayBeTriedAgain) {
  MailServer server(
      [](const std::string& line) { return line == "." ? std::string() : plain_answer(line); });
  const Ran ran = run_words(
      {"send", "--server", server.address(), "--from", "a@a.test", "--to", "bob@b.test"}, "x\n");
  EXPECT_EQ(ran.status, kTryAgain);
  EXPECT_TRUE(ran.err.starts_with("bob@b.test: ")) << ran.err;
  EXPECT_GT(ran.err.size(), std::string("bob@b.test: \n").size() + 10) << ran.err;
}

TEST(Send, AServerThatSaysNothingIsNotWaitedForForever) {
  MailServer server([](const std::string& line) -> std::string {
    return line.starts_with("EHLO") ? MailServer::kSilence : plain_answer(line);
  });
  const Ran ran = run_words({"send", "--server", server.address(), "--from", "a@a.test", "--to",
                             "bob@b.test", "--timeout", "200ms"},
                            "x\n");
  EXPECT_EQ(ran.status, kTryAgain);
  EXPECT_NE(ran.err.find("200ms"), std::string::npos) << ran.err;
}

TEST(Send, NobodyListens) {
  std::string address;
  {
    MailServer server(plain_answer);
    address = server.address();
  }
  const Ran ran =
      run_words({"send", "--server", address, "--from", "a@a.test", "--to", "bob@b.test"}, "x\n");
  EXPECT_EQ(ran.status, kUnreachable);
  EXPECT_EQ(ran.err, "ringmta: cannot connect to " + address +
                         ": Connection refused; is a relay listening there?\n");
}

TEST(Send, TakesTheServerFromTheConfiguration) {
  MailServer server(plain_answer);
  Directory directory;
  const std::string port = server.address().substr(server.address().find(':') + 1);
  const std::string file =
      directory.write("ringmta.toml",
                      "hostname = \"a.test\"\n[[route]]\nname = \"a\"\ndomains = [\"*\"]\nhosts = "
                      "[\"192.0.2.1\"]\n[server]\nlisten = [\"0.0.0.0:" +
                          port + "\"]\n");
  const Ran ran =
      run_words({"send", "-c", file, "--from", "a@a.test", "--to", "bob@b.test"}, "x\n");
  EXPECT_EQ(ran.status, kDone) << ran.err;
  EXPECT_EQ(server.content(), "x\r\n");
}

TEST(Send, RefusesWhatWouldBreakACommandOrTheHeader) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"--to", "bob@b.test>\r\nRCPT TO:<eve@b.test"}, "--to: "},
      {{"--to", ""}, "--to: "},
      {{"--to", "bob@b.test", "--from", "a b@a.test"}, "--from: "},
      {{"--to", "bob@b.test", "--from", ""}, "--null-sender"},
      {{"--to", "bob@b.test", "--subject", "a\nBcc: eve@b.test"}, "--subject: "},
      {{"--to", "bob@b.test", "--notify", "sometimes"}, "--notify: "},
      {{"--to", "bob@b.test", "/nowhere/mail.eml"},
       "/nowhere/mail.eml cannot be read: No such file"},
  };
  for (const auto& [more, told] : cases) {
    std::vector<std::string> words{"send", "--server", "127.0.0.1:1"};
    words.insert(words.end(), more.begin(), more.end());
    const Ran ran = run_words(words, "x\n");
    EXPECT_EQ(ran.status, kMistake) << told;
    EXPECT_NE(ran.err.find(told), std::string::npos) << ran.err;
  }
  const Ran empty = run_words({"send", "--server", "127.0.0.1:1", "--to", "bob@b.test"}, "");
  EXPECT_EQ(empty.status, kMistake);
  EXPECT_EQ(empty.err, "ringmta: there is no message: give a file or standard input\n");
}

}  // namespace
}  // namespace ringmta::cli
