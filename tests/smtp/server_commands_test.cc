// SPDX-License-Identifier: GPL-3.0-or-later
// Every command, its replies, and the order they are allowed in.
#include <gtest/gtest.h>

#include "server_dialogue.h"

namespace ringmta::smtp {
namespace {

using namespace std::string_view_literals;

struct Exchange {
  std::string_view said;
  std::string_view code;  // how the reply to the last line begins
};

// Each in a session of its own, behind EHLO; of several lines the last reply counts.
void expect_all(const std::vector<Exchange>& exchanges, const ServerOptions& options = {}) {
  for (const Exchange& exchange : exchanges) {
    Talk talk(options);
    const std::string replies = talk.ready().ask(exchange.said);
    ASSERT_GE(replies.size(), 2U) << exchange.said;
    const size_t begin = replies.rfind('\n', replies.size() - 2) + 1;
    EXPECT_EQ(std::string_view(replies).substr(begin, exchange.code.size()), exchange.code)
        << exchange.said << replies;
  }
}

TEST(ServerCommands, Greeting) {
  ServerOptions options;
  options.hostname = "relay.example";
  Talk talk(options);
  EXPECT_FALSE(talk.session().has_output());
  talk.session().greet();
  EXPECT_EQ(talk.replies(), "220 relay.example ESMTP RingMTA\n");
}

TEST(ServerCommands, EhloTellsWhatIsOffered) {
  ServerOptions options;
  options.hostname = "relay.example";
  options.message_size_max = 1000;
  options.recipients_max = 7;
  options.messages_max = 9;
  Talk talk(options);
  talk.session().greet();
  talk.replies();
  EXPECT_EQ(talk.ask("EHLO client.example\r\n"),
            "250-relay.example\n250-PIPELINING\n250-SIZE 1000\n250-8BITMIME\n250-SMTPUTF8\n"
            "250-ENHANCEDSTATUSCODES\n250-CHUNKING\n250-DSN\n250 LIMITS RCPTMAX=7 MAILMAX=9\n");
  EXPECT_EQ(talk.session().helo(), "client.example");
  EXPECT_TRUE(talk.session().esmtp());
}

TEST(ServerCommands, EhloWithoutWhatIsSwitchedOff) {
  ServerOptions options;
  options.pipelining = options.chunking = options.smtputf8 = options.eight_bit = options.dsn =
      false;
  options.recipients_max = 0;
  Talk talk(options);
  talk.session().greet();
  talk.replies();
  EXPECT_EQ(talk.ask("ehlo [127.0.0.1]\r\n"),
            "250-localhost\n250-SIZE 52428800\n250 ENHANCEDSTATUSCODES\n");
  talk.say("MAIL FROM:<a@b>\r\n");
  talk.replies();
  for (const std::string_view parameter :
       {"BODY=8BITMIME", "SMTPUTF8", "RET=FULL", "ENVID=x", "AUTH=<>", "XVERP"}) {
    Talk other(options);
    other.ready();
    EXPECT_EQ(other.ask("MAIL FROM:<a@b> " + std::string(parameter) + "\r\n").substr(0, 9),
              "555 5.5.4")
        << parameter;
  }
  EXPECT_EQ(talk.ask("RCPT TO:<a@b> NOTIFY=NEVER\r\n").substr(0, 9), "555 5.5.4");
  EXPECT_EQ(talk.ask("RCPT TO:<a@b>\r\nBDAT 3 LAST\r\na\r\n").substr(13, 9), "502 5.5.1");
}

TEST(ServerCommands, Helo) {
  Talk talk;
  talk.session().greet();
  talk.replies();
  EXPECT_EQ(talk.ask("HELO Client_1.example \r\n"), "250 localhost\n");
  EXPECT_EQ(talk.session().helo(), "Client_1.example");
  EXPECT_FALSE(talk.session().esmtp());
  EXPECT_EQ(talk.ask("MAIL FROM:<a@b> SIZE=1\r\n").substr(0, 9), "555 5.5.4");
  EXPECT_EQ(talk.ask("MAIL FROM:<a@b>\r\n"), "250 2.1.0 Ok\n");
}

TEST(ServerCommands, HelloArgument) {
  for (const std::string_view bad :
       {"", " ", " a b", " a(b)", " <a>", " [127.0.0.1", " [x]", " a..b", " .a",
        " \xC3\xBC.example", " a;b", " \"a\"", " [IPv6:::1]]"}) {
    for (const std::string_view verb : {"EHLO", "HELO"}) {
      Talk talk;
      talk.session().greet();
      talk.replies();
      EXPECT_EQ(talk.ask(std::string(verb) + std::string(bad) + "\r\n").substr(0, 9), "501 5.5.4")
          << bad;
      EXPECT_EQ(talk.session().helo(), "");
    }
  }
  for (const std::string_view good :
       {"a", "a.b", "[127.0.0.1]", "[IPv6:::1]", "host_1", "a-b.example", "127.0.0.1"}) {
    Talk talk;
    talk.session().greet();
    talk.replies();
    EXPECT_EQ(talk.ask("HELO " + std::string(good) + "\r\n"), "250 localhost\n") << good;
  }
}

TEST(ServerCommands, MailNeedsHello) {
  Talk talk;
  talk.session().greet();
  talk.replies();
  EXPECT_EQ(talk.ask("MAIL FROM:<a@b>\r\n").substr(0, 9), "503 5.5.1");
  EXPECT_EQ(talk.ask("NOOP\r\nVRFY a\r\nRSET\r\nHELP\r\nQUIT\r\n").substr(0, 4), "250 ");
}

TEST(ServerCommands, SmallOnes) {
  expect_all({
      {"NOOP\r\n", "250 2.0.0"},
      {"noop and some words\r\n", "250 2.0.0"},
      {"RSET\r\n", "250 2.0.0"},
      {"RSET  \r\n", "250 2.0.0"},
      {"RSET x\r\n", "501 5.5.4"},
      {"VRFY a@b\r\n", "252 2.0.0"},
      {"VRFY\r\n", "501 5.5.4"},
      {"HELP\r\n", "214 2.0.0"},
      {"HELP MAIL\r\n", "214 2.0.0"},
      {"QUIT\r\n", "221 2.0.0"},
      {"qUiT \r\n", "221 2.0.0"},
      {"QUIT now\r\n", "501 5.5.4"},
      {"EXPN list\r\n", "502 5.5.1"},
      {"ETRN x\r\n", "502 5.5.1"},
      {"AUTH PLAIN x\r\n", "502 5.5.1"},
      {"STARTTLS\r\n", "502 5.5.1"},
      {"\r\n", "500 5.5.2"},
      {" NOOP\r\n", "500 5.5.2"},
      {"NOO\r\n", "500 5.5.2"},
      {"NOOPS\r\n", "500 5.5.2"},
      {"NOOP:\r\n", "500 5.5.2"},
      {"GET / HTTP/1.1\r\n", "500 5.5.2"},
      {"\xCE\xCF\xCF\xD0\r\n", "500 5.5.2"},
  });
}

TEST(ServerCommands, LineEnds) {
  expect_all({
      {"NOOP\n", "500 5.5.2"},
      {"\n", "500 5.5.2"},
      {"NOOP\r\r\n", "500 5.5.2"},
      {"NO\rOP\r\n", "500 5.5.2"},
      {"NOOP \0\r\n"sv, "500 5.5.2"},
      {"NOOP\t\r\n", "500 5.5.2"},
      {"NOOP \x7F\r\n", "500 5.5.2"},
      {"NOOP \x1B[2J\r\n", "500 5.5.2"},
      {"MAIL FROM:<a@b>\n", "500 5.5.2"},
      {"NOOP\nNOOP\r\n", "250 2.0.0"},
  });
  Talk talk;
  EXPECT_EQ(talk.ready().ask("MAIL FROM:<a@b>\nMAIL FROM:<c@d>\r\n").substr(0, 9), "500 5.5.2");
  EXPECT_EQ(Talk::shown(talk.session().envelope()), "<c@d>");
}

TEST(ServerCommands, ControlCharactersAnywhere) {
  for (size_t length = 0; length < 40; ++length) {
    for (size_t at = 0; at < length; ++at) {
      for (int octet = 0; octet < 256; ++octet) {
        if (octet == '\n') continue;
        std::string text(length, 'x');
        text[at] = static_cast<char>(octet);
        Talk talk;
        const bool control = octet < 0x20 || octet == 0x7F;
        ASSERT_EQ(talk.ready().ask("NOOP " + text + "\r\n").substr(0, 9),
                  control ? "500 5.5.2" : "250 2.0.0")
            << length << " " << at << " " << octet;
      }
    }
  }
}

TEST(ServerCommands, Order) {
  expect_all({
      {"RCPT TO:<a@b>\r\n", "503 5.5.1"},
      {"DATA\r\n", "503 5.5.1"},
      {"MAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\n", "503 5.5.1"},
      {"MAIL FROM:<a@b>\r\nDATA\r\n", "503 5.5.1"},
      {"MAIL FROM:<a@b>\r\nRCPT TO:<>\r\nDATA\r\n", "554 5.5.1"},
      {"MAIL FROM:<a@b>\r\nRCPT TO:<>\r\nRCPT TO:<c@d>\r\nDATA\r\n", "354 "},
      {"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA x\r\n", "501 5.5.4"},
      {"MAIL FROM:<a@b>\r\nRSET\r\nRCPT TO:<c@d>\r\n", "503 5.5.1"},
      {"MAIL FROM:<a@b>\r\nRSET\r\nMAIL FROM:<c@d>\r\n", "250 2.1.0"},
      {"MAIL FROM:<a@b>\r\nEHLO x\r\nMAIL FROM:<c@d>\r\n", "250 2.1.0"},
      {"MAIL FROM:<a@b>\r\nHELO x\r\nRCPT TO:<c@d>\r\n", "503 5.5.1"},
      {"MAIL FROM:<a@b>\r\nNOOP\r\nRCPT TO:<c@d>\r\n", "250 2.1.5"},
  });
}

TEST(ServerCommands, MailSyntax) {
  expect_all({
      {"MAIL FROM:<a@b>\r\n", "250 2.1.0"},
      {"mail from:<a@b>\r\n", "250 2.1.0"},
      {"MAIL  FROM: <a@b> \r\n", "250 2.1.0"},
      {"MAIL FROM:<>\r\n", "250 2.1.0"},
      {"MAIL\r\n", "501 5.5.4"},
      {"MAIL FROM\r\n", "501 5.5.4"},
      {"MAIL FROM:\r\n", "501 5.5.4"},
      {"MAIL FROM:a@b\r\n", "501 5.5.4"},
      {"MAIL FROM:<a@b\r\n", "501 5.5.4"},
      {"MAIL FROM <a@b>\r\n", "501 5.5.4"},
      {"MAIL TO:<a@b>\r\n", "501 5.5.4"},
      {"MAILFROM:<a@b>\r\n", "500 5.5.2"},
      {"MAIL FROM:<a>\r\n", "553 5.1.7"},
      {"MAIL FROM:<a@>\r\n", "553 5.1.7"},
      {"MAIL FROM:<@b>\r\n", "553 5.1.7"},
      {"MAIL FROM:<a b@c>\r\n", "553 5.1.7"},
      {"MAIL FROM:<a@b@c>\r\n", "553 5.1.7"},
      {"MAIL FROM:<<a@b>>\r\n", "553 5.1.7"},
      {"MAIL FROM:<a@b>x\r\n", "501 5.5.4"},
      {"MAIL FROM:<a@b>SIZE=1\r\n", "501 5.5.4"},
      {"MAIL FROM:<\xC3\xBC@b>\r\n", "553 5.6.7"},
      {"MAIL FROM:<\xC3\xBC@b> SMTPUTF8\r\n", "250 2.1.0"},
      {"MAIL FROM:<\xFC@b> SMTPUTF8\r\n", "553 5.1.7"},
  });
  Talk talk;
  EXPECT_EQ(
      talk.ready().ask("MAIL FROM:<" + std::string(250, 'a') + "@b.example>\r\n").substr(0, 9),
      "501 5.1.7");
}

TEST(ServerCommands, MailParameters) {
  const auto mail = [](std::string_view parameters) {
    return Talk().ready().ask("MAIL FROM:<a@b> " + std::string(parameters) + "\r\n").substr(0, 9);
  };
  for (const std::string_view good :
       {"SIZE=0", "SIZE=52428800", "size=100", "BODY=7BIT", "BODY=8BITMIME", "body=8bitmime",
        "SMTPUTF8", "RET=FULL", "ret=hdrs", "ENVID=QQ314159", "ENVID=a+2Bb",
        "SIZE=1 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x", " SIZE=1  BODY=7BIT "}) {
    EXPECT_EQ(mail(good), "250 2.1.0") << good;
  }
  for (const std::string_view unknown : {"FOO", "FOO=bar", "X-FOO=bar", "AUTH=<>", "NOTIFY=NEVER",
                                         "HOLDFOR=1", "BY=1;R", "REQUIRETLS"}) {
    EXPECT_EQ(mail(unknown), "555 5.5.4") << unknown;
  }
  for (const std::string_view bad : {"SIZE",
                                     "SIZE=",
                                     "SIZE=-1",
                                     "SIZE=1x",
                                     "SIZE=0x1",
                                     "SIZE=123456789012345678901",
                                     "BODY",
                                     "BODY=BINARYMIME",
                                     "BODY=9BIT",
                                     "SMTPUTF8=1",
                                     "RET",
                                     "RET=ALL",
                                     "ENVID",
                                     "ENVID=a+2",
                                     "ENVID=a+2b",
                                     "ENVID=a+0Ab",
                                     "ENVID=\xC3\xBC",
                                     "=x",
                                     "-X=1",
                                     "SIZE==1",
                                     "SIZE=1=1",
                                     "SIZE=1 SIZE=1",
                                     "BODY=7BIT BODY=8BITMIME",
                                     "SMTPUTF8 SMTPUTF8",
                                     "ENVID=a ENVID=a",
                                     "<x>",
                                     "SIZE=1 ="}) {
    EXPECT_EQ(mail(bad), "501 5.5.4") << bad;
  }
  EXPECT_EQ(mail("ENVID=" + std::string(100, 'x')), "250 2.1.0");
  EXPECT_EQ(mail("ENVID=" + std::string(101, 'x')), "501 5.5.4");
  EXPECT_EQ(mail("SIZE=52428801"), "552 5.3.4");
  EXPECT_EQ(mail("SIZE=99999999999999999999"), "552 5.3.4");

  Talk talk;
  talk.ready().say("MAIL FROM:<a@b> SIZE=1234 RET=HDRS ENVID=xy BODY=8BITMIME SMTPUTF8\r\n");
  EXPECT_EQ(Talk::shown(talk.session().envelope()), "<a@b> ENVID=xy RET=HDRS 8BITMIME SMTPUTF8");
  EXPECT_EQ(talk.session().declared_size(), 1234U);
  EXPECT_TRUE(talk.session().in_transaction());
  talk.say("RSET\r\n");
  EXPECT_EQ(talk.session().declared_size(), 0U);
  EXPECT_FALSE(talk.session().in_transaction());
}

TEST(ServerCommands, RecipientSyntax) {
  const auto recipient = [](std::string_view argument, std::string_view mail = "") {
    Talk talk;
    talk.ready().ask("MAIL FROM:<> " + std::string(mail) + "\r\n");
    return talk.ask("RCPT TO:" + std::string(argument) + "\r\n").substr(0, 9);
  };
  for (const std::string_view good :
       {"<a@b>", " <a@b>", "<\"a b\"@c.example>", "<\"\\\"\"@c>", "<a@[127.0.0.1]>",
        "<a@[IPv6:2001:db8::1]>", "<@x,@y.example:a@b>", "<a@b> NOTIFY=NEVER",
        "<a@b> NOTIFY=SUCCESS,FAILURE,DELAY", "<a@b> notify=delay ORCPT=rfc822;a+40b",
        "<a@b> ORCPT=rfc822;a@b"}) {
    EXPECT_EQ(recipient(good), "250 2.1.5") << good;
  }
  for (const std::string_view bad : {"", "a@b", "<a@b", "a@b>", "<a@b>;", "<a@b>x=1"}) {
    EXPECT_EQ(recipient(bad), "501 5.5.4") << bad;
  }
  for (const std::string_view bad : {"<>", "<a>", "<@>", "<a@-b>", "<a..b@c>", "<\"a@b>", "<a@[1]>",
                                     "<a@b.>", "<@x:>", "<(a)@b>", "<a@b c>"}) {
    EXPECT_TRUE(recipient(bad) == "553 5.1.3" || recipient(bad) == "501 5.5.4") << bad;
  }
  for (const std::string_view bad :
       {"NOTIFY", "NOTIFY=", "NOTIFY=NEVER,DELAY", "NOTIFY=x", "NOTIFY=DELAY,", "ORCPT=x",
        "ORCPT=;x", "ORCPT=rfc822;", "ORCPT=rfc822;a+4", "ORCPT=utf-8;\xC3\xBC@b",
        "NOTIFY=DELAY NOTIFY=DELAY"}) {
    EXPECT_EQ(recipient("<a@b> " + std::string(bad)), "501 5.5.4") << bad;
  }
  EXPECT_EQ(recipient("<a@b> SIZE=1"), "555 5.5.4");
  EXPECT_EQ(recipient("<\xC3\xBC@b>"), "553 5.6.7");
  EXPECT_EQ(recipient("<a@\xC3\xBC.example>"), "553 5.6.7");
  EXPECT_EQ(recipient("<a@\xC3\xBC.example>", "SMTPUTF8"), "250 2.1.5");
  EXPECT_EQ(recipient("<\xC3\xBC@b> ORCPT=utf-8;\xC3\xBC@b", "SMTPUTF8"), "250 2.1.5");
  EXPECT_EQ(recipient("<\xC3@b>", "SMTPUTF8"), "553 5.1.3");
  EXPECT_EQ(recipient("<" + std::string(255, 'a') + "@b>"), "501 5.1.3");
}

TEST(ServerCommands, EnvelopeIsKept) {
  Talk talk;
  talk.ready().say(
      "MAIL FROM:<bounces+1@sender.example>\r\n"
      "RCPT TO:<@route.example:a@one.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;old@one.example\r\n"
      "RCPT TO:<nobody>\r\n"
      "RCPT TO:<\"b c\"@two.example>\r\n");
  EXPECT_EQ(Talk::shown(talk.session().envelope()),
            "<bounces+1@sender.example> <a@one.example>/rfc822;old@one.example/10 "
            "<\"b c\"@two.example>");
}

// RFC 5321 4.5.1: Postmaster without a domain is somebody at this very host.
TEST(ServerCommands, PostmasterWithoutDomain) {
  ServerOptions options;
  options.hostname = "relay.example";
  Talk talk(options);
  EXPECT_EQ(talk.ready().ask("MAIL FROM:<>\r\nRCPT TO:<PostMaster>\r\n"), kEnvelopeReplies);
  EXPECT_EQ(Talk::shown(talk.session().envelope()), "<> <PostMaster@relay.example>");
}

TEST(ServerCommands, RelayingIsRefused) {
  Talk talk({}, false);
  EXPECT_EQ(talk.ready().ask("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<postmaster>\r\n"),
            "250 2.1.0 Ok\n550 5.7.1 Relaying is not permitted to you\n"
            "550 5.7.1 Relaying is not permitted to you\n");
  EXPECT_EQ(talk.ask("RCPT TO:<x>\r\n").substr(0, 9), "553 5.1.3");
  EXPECT_EQ(talk.ask("DATA\r\n").substr(0, 9), "554 5.5.1");
  EXPECT_EQ(talk.ask("BDAT 4 LAST\r\nQUIT").substr(0, 9), "554 5.5.1");
  EXPECT_EQ(talk.told, "");
}

TEST(ServerCommands, QuitCloses) {
  Talk talk;
  EXPECT_EQ(talk.ready().ask("MAIL FROM:<a@b>\r\nQUIT\r\nNOOP\r\n"),
            "250 2.1.0 Ok\n221 2.0.0 Bye\n");
  EXPECT_EQ(talk.told, "close\n");
}

TEST(ServerCommands, WhoTalksBeforeTheGreetingIsRefused) {
  for (const std::string_view said : {"EHLO x\r\n", "E", "\n"}) {
    Talk talk;
    EXPECT_EQ(talk.ask(said), "554 5.5.1 You spoke before the greeting\n");
    EXPECT_EQ(talk.told, "close\n");
  }
  Talk talk;
  talk.say("");
  EXPECT_EQ(talk.told, "");
}

TEST(ServerCommands, TurnedAway) {
  Talk polite;
  polite.session().greet_refused("421 4.3.2 Too many sessions");
  EXPECT_EQ(polite.replies(), "421 4.3.2 Too many sessions\n");
  EXPECT_EQ(polite.ask("QUIT\r\n"), "221 2.0.0 Bye\n");
  EXPECT_EQ(polite.told, "close\n");

  for (const std::string_view said : {"EHLO x\r\nMAIL FROM:<a@b>\r\n", "QUIT\n", "\n"}) {
    Talk other;
    other.session().greet_refused("421 4.3.2 Too many sessions");
    other.replies();
    EXPECT_EQ(other.ask(said).substr(0, 9), "503 5.5.1");
    EXPECT_EQ(other.told, "close\n");
  }
}

TEST(ServerCommands, EndFromOutside) {
  Talk talk;
  talk.ready().say(kEnvelope + "DATA\r\nhalf a mess");
  talk.session().end("421 4.4.2 Timeout");
  EXPECT_EQ(talk.replies(), kEnvelopeReplies + kGo + "421 4.4.2 Timeout\n");
  EXPECT_FALSE(talk.session().in_content());
  EXPECT_FALSE(talk.session().in_transaction());
  EXPECT_EQ(talk.ask("age\r\n.\r\nQUIT\r\n"), "");
}

}  // namespace
}  // namespace ringmta::smtp
