// SPDX-License-Identifier: GPL-3.0-or-later
// STARTTLS (RFC 3207) and AUTH (RFC 4954) as the client sees them, and what the owner is told.
#include <gtest/gtest.h>

#include "server_dialogue.h"

namespace ringmta::smtp {
namespace {

constexpr std::string_view kMechanisms = "PLAIN LOGIN SCRAM-SHA-256";

ServerAccess offering_tls() { return {.starttls = true, .relay_allowed = true}; }
ServerAccess offering_auth() {
  return {.tls = true, .auth_required = true, .mechanisms = kMechanisms};
}
ServerAccess authenticated() {
  return {.tls = true, .relay_allowed = true, .mechanisms = kMechanisms};
}

// An owner that takes "yes", refuses "no", and challenges everything else by "more?".
void play_owner(ServerSession& session, const std::string& asked) {
  if (asked.ends_with("yes")) {
    session.auth_succeeded(authenticated());
  } else if (asked.ends_with("no")) {
    session.auth_failed("535 5.7.8 Authentication credentials invalid");
  } else {
    session.auth_challenge(as_bytes("more?"));
  }
}

class AuthTalk {
 public:
  explicit AuthTalk(Cut cut = Cut::whole, const ServerOptions& options = {})
      : talk(options, offering_auth(), cut) {
    talk.on_auth = play_owner;
    talk.ready();
  }
  std::string ask(std::string_view text) { return talk.ask(text); }
  Talk talk;
};

const std::string kMore = "334 bW9yZT8=\n";
const std::string kDone = "235 2.7.0 Authentication successful\n";

TEST(ServerTls, IsOfferedAndBegins) {
  Talk talk({}, offering_tls());
  talk.session().greet();
  EXPECT_NE(talk.ask("EHLO a.example\r\n").find("250-STARTTLS\n"), std::string::npos);
  EXPECT_EQ(talk.ask("STARTTLS\r\n"), "220 2.0.0 Ready to start TLS\n");
  EXPECT_EQ(talk.told, "tls\n");
  EXPECT_TRUE(talk.session().access().tls);
  EXPECT_EQ(talk.ask("EHLO a.example\r\n").find("STARTTLS"), std::string::npos);
  EXPECT_EQ(talk.ask("STARTTLS\r\n").substr(0, 9), "503 5.5.1");
}

TEST(ServerTls, ForgetsWhatTheClientSaid) {
  Talk talk({}, offering_tls());
  talk.ready();
  talk.say("MAIL FROM:<a@b.example>\r\nSTARTTLS\r\n");
  talk.replies();
  EXPECT_EQ(talk.session().helo(), "");
  EXPECT_FALSE(talk.session().esmtp());
  EXPECT_EQ(talk.ask("RCPT TO:<a@b>\r\n").substr(0, 9), "503 5.5.1");
  EXPECT_EQ(talk.ask("MAIL FROM:<a@b>\r\n").substr(0, 9), "503 5.5.1");
}

TEST(ServerTls, InputBehindItIsNeverACommand) {
  Talk talk({}, offering_tls());
  EXPECT_EQ(talk.ready().ask("STARTTLS\r\nEHLO injected\r\nMAIL FROM:<a@b>\r\n"),
            "220 2.0.0 Ready to start TLS\n");
  EXPECT_EQ(talk.discarded, "EHLO injected\r\nMAIL FROM:<a@b>\r\n");
  EXPECT_EQ(talk.session().helo(), "");
}

TEST(ServerTls, NothingIsTakenUntilTlsHasStarted) {
  Talk talk({}, offering_tls());
  talk.hold_tls = true;
  talk.ready().ask("STARTTLS\r\n");
  EXPECT_TRUE(talk.session().blocked());
  EXPECT_EQ(talk.ask("NOOP\r\n"), "");
  EXPECT_TRUE(talk.blocked);
  talk.session().tls_started({.tls = true});
  EXPECT_FALSE(talk.session().blocked());
  EXPECT_EQ(talk.ask(""), "250 2.0.0 Ok\n");
}

TEST(ServerTls, WaitsForTheDisk) {
  Talk talk({}, offering_tls());
  talk.ready().hold_answers = true;
  EXPECT_EQ(talk.ask(kEnvelope + "DATA\r\na\r\n.\r\nSTARTTLS\r\n"), kEnvelopeReplies + kGo);
  EXPECT_EQ(talk.told.find("tls"), std::string::npos);
  EXPECT_TRUE(talk.session().blocked());
  talk.answer("250 2.0.0 Stored");
  EXPECT_FALSE(talk.session().blocked());
  EXPECT_EQ(talk.ask(""), "250 2.0.0 Stored\n220 2.0.0 Ready to start TLS\n");
}

TEST(ServerTls, DropsAMessageInArrival) {
  Talk talk({}, offering_tls());
  talk.ready().ask(kEnvelope + "BDAT 3\r\na\r\nSTARTTLS\r\n");
  EXPECT_NE(talk.told.find("abort\ntls\n"), std::string::npos) << talk.told;
}

TEST(ServerTls, IsRefused) {
  Talk unoffered;
  EXPECT_EQ(unoffered.ready().ask("STARTTLS\r\n").substr(0, 9), "502 5.5.1");
  Talk talk({}, offering_tls());
  EXPECT_EQ(talk.ready().ask("STARTTLS now\r\n").substr(0, 9), "501 5.5.4");
  EXPECT_EQ(talk.ask("STARTTLSX\r\n").substr(0, 9), "500 5.5.2");
}

// GNU gsasl does not ask what is offered.
TEST(ServerTls, BeginsWithoutEhlo) {
  for (const char* before : {"", "HELO a\r\n"}) {
    Talk early({}, offering_tls());
    early.session().greet();
    early.replies();
    early.ask(before);
    EXPECT_EQ(early.ask("STARTTLS\r\n").substr(0, 4), "220 ");
    EXPECT_EQ(early.told, "tls\n");
    EXPECT_EQ(early.session().helo(), "");
    EXPECT_EQ(early.ask("MAIL FROM:<a@b.example>\r\n").substr(0, 9), "503 5.5.1");
  }
}

TEST(ServerTls, CanBeRequired) {
  Talk talk({}, ServerAccess{.starttls = true, .tls_required = true, .auth_after_tls = true});
  EXPECT_EQ(talk.ready().ask("MAIL FROM:<a@b>\r\nAUTH PLAIN\r\nVRFY a\r\nDATA\r\n"),
            "530 5.7.0 Say STARTTLS first\n530 5.7.0 Say STARTTLS first\n"
            "530 5.7.0 Say STARTTLS first\n530 5.7.0 Say STARTTLS first\n");
  EXPECT_EQ(talk.ask("NOOP\r\nRSET\r\n"), "250 2.0.0 Ok\n250 2.0.0 Ok\n");
  talk.access_after_tls.tls_required = true;
  talk.ask("STARTTLS\r\n");
  talk.ask("EHLO a\r\n");
  EXPECT_EQ(talk.ask("MAIL FROM:<a@b>\r\n"), "250 2.1.0 Ok\n");
}

TEST(ServerAuth, IsOfferedWhereThereAreMechanisms) {
  Talk talk({}, offering_auth());
  talk.session().greet();
  EXPECT_NE(talk.ask("EHLO a\r\n").find("250-AUTH PLAIN LOGIN SCRAM-SHA-256\n"), std::string::npos);
  Talk without;
  EXPECT_EQ(without.ready().ask("AUTH PLAIN\r\n").substr(0, 9), "502 5.5.1");
  Talk later({}, ServerAccess{.starttls = true, .auth_after_tls = true});
  EXPECT_EQ(later.ready().ask("AUTH PLAIN AHllcw==\r\n").substr(0, 10), "538 5.7.11");
}

TEST(ServerAuth, InitialResponse) {
  AuthTalk auth;
  EXPECT_EQ(auth.ask("MAIL FROM:<a@b>\r\n"), "530 5.7.0 Authentication required\n");
  EXPECT_EQ(auth.ask("auth plain eWVz\r\n"), kDone);
  EXPECT_EQ(auth.talk.told, "auth PLAIN yes\n");
  EXPECT_TRUE(auth.talk.session().authenticated());
  EXPECT_EQ(auth.ask(kEnvelope), kEnvelopeReplies);
}

TEST(ServerAuth, Responses) {
  AuthTalk auth;
  EXPECT_EQ(auth.ask("AUTH LOGIN\r\n"), kMore);
  EXPECT_EQ(auth.ask("\r\n"), kMore);
  EXPECT_EQ(auth.ask("eWVz\r\n"), kDone);
  EXPECT_EQ(auth.talk.told, "auth LOGIN\nresponse \nresponse yes\n");
}

TEST(ServerAuth, AnEmptyInitialResponseIsNotAnAbsentOne) {
  AuthTalk auth;
  EXPECT_EQ(auth.ask("AUTH SCRAM-SHA-256 =\r\n"), kMore);
  EXPECT_EQ(auth.talk.told, "auth SCRAM-SHA-256 \n");
}

TEST(ServerAuth, Cancel) {
  AuthTalk auth;
  EXPECT_EQ(auth.ask("AUTH LOGIN\r\n*\r\nNOOP\r\n"),
            kMore + "501 5.7.0 Authentication cancelled\n250 2.0.0 Ok\n");
  EXPECT_EQ(auth.talk.told, "auth LOGIN\ncancel\n");
  EXPECT_EQ(auth.ask("AUTH PLAIN eWVz\r\n"), kDone);
}

TEST(ServerAuth, Failure) {
  AuthTalk auth;
  EXPECT_EQ(auth.ask("AUTH PLAIN bm8=\r\n"), "535 5.7.8 Authentication credentials invalid\n");
  EXPECT_FALSE(auth.talk.session().authenticated());
  EXPECT_EQ(auth.ask("MAIL FROM:<a@b>\r\n").substr(0, 9), "530 5.7.0");
}

TEST(ServerAuth, FailuresAreErrorsOfTheClient) {
  ServerOptions options;
  options.errors_max = 3;
  AuthTalk auth(Cut::whole, options);
  for (int i = 0; i < 3; ++i) auth.ask("AUTH PLAIN bm8=\r\n");
  EXPECT_EQ(auth.ask("AUTH PLAIN eWVz\r\n").substr(0, 9), "421 4.7.0");
  EXPECT_TRUE(auth.talk.closed);
}

TEST(ServerAuth, TheOwnerMayCloseBy421) {
  AuthTalk auth;
  auth.talk.on_auth = [](ServerSession& session, const std::string&) {
    session.auth_failed("421 4.7.0 Too many failures");
  };
  EXPECT_EQ(auth.ask("AUTH PLAIN bm8=\r\nNOOP\r\n"), "421 4.7.0 Too many failures\n");
  EXPECT_TRUE(auth.talk.closed);
}

TEST(ServerAuth, OutOfOrder) {
  AuthTalk auth;
  EXPECT_EQ(auth.ask("HELO a\r\nAUTH PLAIN eWVz\r\n"),
            "250 localhost\n503 5.5.1 EHLO comes first\n");
  auth.ask("EHLO a\r\n");
  EXPECT_EQ(auth.ask("AUTH PLAIN eWVz\r\nAUTH PLAIN eWVz\r\n").substr(kDone.size(), 9),
            "503 5.5.1");
  Talk open({}, ServerAccess{.relay_allowed = true, .mechanisms = kMechanisms});
  EXPECT_EQ(open.ready().ask("MAIL FROM:<a@b>\r\nAUTH PLAIN eWVz\r\n").substr(13, 9), "503 5.5.1");
}

TEST(ServerAuth, Malformed) {
  for (const std::string_view bad :
       {"AUTH\r\n", "AUTH \r\n", "AUTH PLAIN eWVz more\r\n", "AUTH ABCDEFGHIJKLMNOPQRSTU\r\n"}) {
    EXPECT_EQ(AuthTalk().ask(bad).substr(0, 9), "501 5.5.4") << bad;
  }
  for (const std::string_view bad : {"AUTH XOAUTH2\r\n", "AUTH PLAI eWVz\r\n", "AUTH -\r\n"}) {
    EXPECT_EQ(AuthTalk().ask(bad).substr(0, 9), "504 5.5.4") << bad;
  }
  for (const std::string_view bad : {"e", "eWV", "eWVz=", "=eWV", "eW=z", "eWVz====", "==", "eWV*",
                                     "eW==eWVz", "eX==", "\xC3\xBC=="}) {
    AuthTalk initial;
    EXPECT_EQ(initial.ask("AUTH PLAIN " + std::string(bad) + "\r\n").substr(0, 9), "501 5.5.2")
        << bad;
    EXPECT_EQ(initial.talk.told, "");
    AuthTalk later;
    later.ask("AUTH LOGIN\r\n");
    EXPECT_EQ(later.ask(std::string(bad) + "\r\n").substr(0, 9), "501 5.5.2") << bad;
    EXPECT_EQ(later.talk.told, "auth LOGIN\ncancel\n");
    EXPECT_EQ(later.ask("NOOP\r\n"), "250 2.0.0 Ok\n");
  }
  AuthTalk equals;
  equals.ask("AUTH LOGIN\r\n");
  EXPECT_EQ(equals.ask("=\r\n").substr(0, 9), "501 5.5.2");
  AuthTalk bare;
  bare.ask("AUTH LOGIN\r\n");
  EXPECT_EQ(bare.ask("eWVz\n").substr(0, 9), "500 5.5.2");
  EXPECT_EQ(bare.talk.told, "auth LOGIN\ncancel\n");
}

TEST(ServerAuth, LinesMayBeLong) {
  for (const Cut cut : {Cut::whole, Cut::octets, Cut::random}) {
    const std::string text = std::string(9213, 'x') + "yes";  // 12,288 in base64
    std::string encoded;
    for (int i = 0; i < 3071; ++i) encoded += "eHh4";
    encoded += "eWVz";
    AuthTalk initial(cut);
    const std::string fits = encoded.substr(16);  // with "AUTH PLAIN " and CRLF 12,285
    EXPECT_EQ(initial.ask("AUTH PLAIN " + fits + "\r\n"), kDone);
    AuthTalk response(cut);
    response.ask("AUTH PLAIN\r\n");
    EXPECT_EQ(response.ask(encoded.substr(4) + "\r\n"), kDone);
    EXPECT_EQ(response.talk.told, "auth PLAIN\nresponse " + text.substr(3) + "\n");
    AuthTalk too_long(cut);
    too_long.ask("AUTH PLAIN\r\n");
    EXPECT_EQ(too_long.ask(encoded + "\r\nNOOP\r\n"),
              "500 5.5.6 Authentication exchange line is too long\n250 2.0.0 Ok\n");
    AuthTalk command(cut);
    EXPECT_EQ(command.ask("AUTH PLAIN " + encoded + "\r\n"), "500 5.5.2 Line too long\n");
    EXPECT_EQ(command.ask("AUTHX" + std::string(3000, 'x') + "\r\n"), "500 5.5.2 Line too long\n");
  }
}

TEST(ServerAuth, TheAnswerMayComeLater) {
  for (const Cut cut : {Cut::whole, Cut::octets}) {
    AuthTalk auth(cut);
    auth.talk.hold_auth = true;
    EXPECT_EQ(auth.ask("AUTH PLAIN eWVz\r\nNOOP\r\nMAIL FROM:<a@b>\r\n"), "");
    EXPECT_TRUE(auth.talk.session().blocked());
    auth.talk.answer_auth();
    EXPECT_EQ(auth.talk.replies(), kDone + "250 2.0.0 Ok\n250 2.1.0 Ok\n");
    EXPECT_EQ(auth.talk.told, "auth PLAIN yes\n");
  }
}

TEST(ServerAuth, AChallengeMayComeLaterAndTheNextLineAnswersIt) {
  AuthTalk auth;
  auth.talk.hold_auth = true;
  EXPECT_EQ(auth.ask("AUTH LOGIN\r\n"), "");
  auth.talk.answer_auth();
  EXPECT_EQ(auth.talk.replies(), kMore);
  EXPECT_EQ(auth.ask("bm8=\r\nNOOP\r\n"), "");
  auth.talk.answer_auth();
  EXPECT_EQ(auth.talk.replies(), "535 5.7.8 Authentication credentials invalid\n250 2.0.0 Ok\n");
}

TEST(ServerAuth, StaysInOrderBehindTheDisk) {
  AuthTalk auth;
  auth.talk.hold_answers = true;
  auth.ask("AUTH PLAIN eWVz\r\n");
  EXPECT_EQ(auth.ask(kEnvelope + "DATA\r\na\r\n.\r\nAUTH LOGIN\r\n"), kEnvelopeReplies + kGo);
  auth.talk.answer();
  EXPECT_EQ(auth.talk.replies(), "250 2.0.0 Ok\n503 5.5.1 You have authenticated already\n");
}

TEST(ServerAuth, IsForgottenWhenTlsBegins) {
  Talk talk({}, ServerAccess{.starttls = true, .relay_allowed = true, .mechanisms = kMechanisms});
  talk.on_auth = [](ServerSession& session, const std::string&) {
    session.auth_succeeded(session.access());
  };
  talk.ready().ask("AUTH PLAIN eWVz\r\n");
  EXPECT_TRUE(talk.session().authenticated());
  talk.access_after_tls = offering_auth();
  talk.ask("STARTTLS\r\n");
  EXPECT_FALSE(talk.session().authenticated());
  talk.ask("EHLO a\r\n");
  EXPECT_EQ(talk.ask("MAIL FROM:<a@b>\r\n").substr(0, 9), "530 5.7.0");
}

TEST(ServerAuth, SurvivesEhloAndReset) {
  AuthTalk auth;
  auth.ask("AUTH PLAIN eWVz\r\n");
  auth.ask("EHLO b\r\nRSET\r\n");
  EXPECT_TRUE(auth.talk.session().authenticated());
  EXPECT_EQ(auth.ask("MAIL FROM:<a@b>\r\n"), "250 2.1.0 Ok\n");
}

TEST(ServerAuth, ParameterOfMail) {
  for (const std::string_view good : {"<>", "a@b.example", "e+3Dmc2@example.com"}) {
    AuthTalk auth;
    auth.ask("AUTH PLAIN eWVz\r\n");
    EXPECT_EQ(auth.ask("MAIL FROM:<a@b> AUTH=" + std::string(good) + "\r\n"), "250 2.1.0 Ok\n")
        << good;
  }
  for (const std::string_view bad : {"a", "<a@b>", "a@b+0Dx", "+3D", "a+3d@b"}) {
    AuthTalk auth;
    auth.ask("AUTH PLAIN eWVz\r\n");
    EXPECT_EQ(auth.ask("MAIL FROM:<a@b> AUTH=" + std::string(bad) + "\r\n").substr(0, 9),
              "501 5.5.4")
        << bad;
  }
  Talk without;
  EXPECT_EQ(without.ready().ask("MAIL FROM:<a@b> AUTH=<>\r\n").substr(0, 9), "555 5.5.4");
}

TEST(ServerAuth, CloseInTheMiddleOfAnExchangeCancelsIt) {
  ServerOptions options;
  options.commands_max = 2;
  AuthTalk auth(Cut::whole, options);
  EXPECT_EQ(auth.ask("AUTH LOGIN\r\neWVz\r\n").substr(kMore.size(), 9), "421 4.7.0");
  EXPECT_EQ(auth.talk.told, "auth LOGIN\ncancel\nclose\n");
}

TEST(ServerSender, IsAskedOf) {
  Talk talk({}, ServerAccess{.relay_allowed = true, .ask_sender = true});
  EXPECT_EQ(talk.ready().ask(kEnvelope), kEnvelopeReplies);
  EXPECT_EQ(talk.told, "sender <a@one.example>\n");
  talk.ask("RSET\r\n");
  talk.sender_refusal = "553 5.7.1 Not yours";
  EXPECT_EQ(talk.ask(kEnvelope), "553 5.7.1 Not yours\n503 5.5.1 MAIL comes first\n");
  talk.sender_refusal = "421 4.7.0 Enough";
  EXPECT_EQ(talk.ask("MAIL FROM:<>\r\nNOOP\r\n"), "421 4.7.0 Enough\n");
  EXPECT_TRUE(talk.closed);
}

TEST(ServerSecurity, HowItIsCutChangesNothing) {
  const std::string input =
      "AUTH LOGIN\r\n*\r\nAUTH PLAIN bm8=\r\nAUTH LOGIN =\r\nbW9yZQ==\r\neWVz\r\n" + kEnvelope +
      "DATA\r\na\r\n.\r\nQUIT\r\n";
  AuthTalk whole;
  const std::string replies = whole.ask(input);
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Talk talk({}, offering_auth(), seed == 0 ? Cut::octets : Cut::random, seed);
    talk.on_auth = play_owner;
    EXPECT_EQ(talk.ready().ask(input), replies);
    EXPECT_EQ(talk.told, whole.talk.told);
  }
}

}  // namespace
}  // namespace ringmta::smtp
