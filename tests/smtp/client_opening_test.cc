// SPDX-License-Identifier: GPL-3.0-or-later
// What stands between the greeting and the first transaction: STARTTLS and AUTH, and what a hostile
// or odd server makes of them.
#include <gtest/gtest.h>

#include "client_dialogue.h"

namespace ringmta::smtp {
namespace {

constexpr ClientOpening kOffered{StartTls::offered, false};
constexpr ClientOpening kAlways{StartTls::always, false};
constexpr ClientOpening kAuth{StartTls::never, true};
constexpr ClientOpening kBoth{StartTls::always, true};

const std::string kTls = server({"PIPELINING", "CHUNKING", "STARTTLS"});
const std::string kLogin = server({"AUTH PLAIN LOGIN"});

struct Case {
  const char* name;
  ClientOpening opening;
  std::string script;
  std::string said;
  std::string told;
};

std::vector<Case> cases() {
  return {
      {"STARTTLS, then EHLO again", kOffered, kTls + "< 220 go\n--\nsecured\n< 250 mx\n",
       "EHLO relay\nSTARTTLS\nEHLO relay\n", "start tls\nready\n"},
      {"what was offered before TLS is forgotten: no pipelining", kOffered,
       kTls + "< 220 go\n--\nsecured\n< 250 mx\n--\nbegin 1\n",
       "EHLO relay\nSTARTTLS\nEHLO relay\nMAIL FROM:<a@one.example>\n", "start tls\nready\n"},
      {"a server that refuses EHLO behind TLS gets HELO", kOffered,
       kTls + "< 220 go\n--\nsecured\n< 500 what?\n--\n< 250 mx\n",
       "EHLO relay\nSTARTTLS\nEHLO relay\nHELO relay\n", "start tls\nready\n"},
      {"STARTTLS offered again behind TLS is not used", kAlways,
       kTls + "< 220 go\n--\nsecured\n< 250-mx\n< 250 STARTTLS\n",
       "EHLO relay\nSTARTTLS\nEHLO relay\n", "start tls\nready\n"},
      {"not wanted", {}, kTls, "EHLO relay\n", "ready\n"},
      {"not offered: on in clear text", kOffered, kLockStep, "EHLO relay\n", "ready\n"},
      {"refused by 454: on in clear text", kOffered, kTls + "< 454 4.7.0 TLS not available\n",
       "EHLO relay\nSTARTTLS\n", "ready\n"},
      {"refused by 5xx: on in clear text", kOffered, kTls + "< 502 5.5.1 unknown\n",
       "EHLO relay\nSTARTTLS\n", "ready\n"},
      {"required and not offered", kAlways, kLockStep, "EHLO relay\n",
       "close tls 4.7.4 TLS is required here, and it does not offer it\n"},
      {"required and refused", kAlways, kTls + "< 454 4.7.0 not now\n", "EHLO relay\nSTARTTLS\n",
       "close tls 4.7.4 TLS is required here, and it refused STARTTLS: 454 4.7.0 not now\n"},
      {"required, and the server knows HELO only", kAlways,
       "< 220 mx\n--\n< 502 what?\n--\n< 250 mx\n", "EHLO relay\nHELO relay\n",
       "close tls 4.7.4 TLS is required here, and it does not offer it\n"},
      {"421 to STARTTLS", kOffered, kTls + "< 421 4.3.2 closing\n", "EHLO relay\nSTARTTLS\n",
       "close tls 421 4.3.2 closing\n"},
      {"354 to STARTTLS", kOffered, kTls + "< 354 go\n", "EHLO relay\nSTARTTLS\n",
       "close tls 4.5.0 the peer broke the protocol: an answer that makes no sense: 354 go\n"},

      {"AUTH with an initial response", kAuth,
       kLogin + "auth PLAIN AGEAYg==\n< 235 2.7.0 welcome\n", "EHLO relay\nAUTH PLAIN AGEAYg==\n",
       "authenticate\nauthenticated\nready\n"},
      {"an empty initial response is said as =", kAuth,
       kLogin + "auth EXTERNAL \n< 235 2.7.0 welcome\n", "EHLO relay\nAUTH EXTERNAL =\n",
       "authenticate\nauthenticated\nready\n"},
      {"AUTH in steps", kAuth,
       kLogin + "auth LOGIN\n< 334 VXNlcm5hbWU6\n--\nanswer YQ==\n< 334 UGFzc3dvcmQ6\n--\n"
                "answer Yg==\n< 235 ok\n",
       "EHLO relay\nAUTH LOGIN\nYQ==\nYg==\n",
       "authenticate\nchallenge VXNlcm5hbWU6\nchallenge UGFzc3dvcmQ6\nauthenticated\nready\n"},
      {"an empty challenge and an empty answer", kAuth,
       kLogin + "auth SCRAM-SHA-256\n< 334 \n--\nanswer \n< 235 ok\n",
       "EHLO relay\nAUTH SCRAM-SHA-256\n\n", "authenticate\nchallenge \nauthenticated\nready\n"},
      {"refused, then another way", kAuth,
       kLogin + "auth CRAM-MD5\n< 504 5.5.4 unknown\n--\nauth PLAIN AGEAYg==\n< 235 ok\n",
       "EHLO relay\nAUTH CRAM-MD5\nAUTH PLAIN AGEAYg==\n",
       "authenticate\nauthenticate 504 5.5.4 unknown\nauthenticated\nready\n"},
      {"cancelled", kAuth, kLogin + "auth LOGIN\n< 334 !!!\n--\ncancel\n< 501 5.5.2 cancelled\n",
       "EHLO relay\nAUTH LOGIN\n*\n",
       "authenticate\nchallenge !!!\nauthenticate 501 5.5.2 cancelled\n"},
      {"421 to AUTH", kAuth, kLogin + "auth PLAIN x\n< 421 4.7.0 too many\n",
       "EHLO relay\nAUTH PLAIN x\n", "authenticate\nclose auth 421 4.7.0 too many\n"},
      {"354 to AUTH", kAuth, kLogin + "auth PLAIN x\n< 354 go\n", "EHLO relay\nAUTH PLAIN x\n",
       "authenticate\nclose auth 4.5.0 the peer broke the protocol: an answer that makes no "
       "sense: 354 go\n"},
      {"authenticated already before it was asked: a reply to nothing", kAuth,
       kLogin + "< 235 2.7.0 welcome\n", "EHLO relay\n",
       "authenticate\nclose auth 4.5.0 the peer broke the protocol: a reply to nothing that was "
       "asked: 235 2.7.0 welcome\n"},
      {"TLS, then AUTH", kBoth,
       kTls + "< 220 go\n--\nsecured\n< 250-mx\n< 250 AUTH PLAIN\n--\nauth PLAIN x\n< 235 ok\n",
       "EHLO relay\nSTARTTLS\nEHLO relay\nAUTH PLAIN x\n",
       "start tls\nauthenticate\nauthenticated\nready\n"},
  };
}

TEST(ClientOpening, Dialogues) {
  for (const Case& one : cases()) {
    for (const Cut cut : {Cut::whole, Cut::octets, Cut::random}) {
      for (uint64_t seed = 1; seed <= (cut == Cut::random ? 20U : 1U); ++seed) {
        Dialogue dialogue(relay(), cut, seed, one.opening);
        dialogue.play(one.script, {{1, {}}});
        EXPECT_EQ(dialogue.said, one.said) << one.name;
        EXPECT_EQ(dialogue.told, one.told) << one.name;
      }
    }
  }
}

// CVE-2011-0411 and its kin, from the other side: an attacker's reply put behind the 220 would be
// taken for the server's own, said under TLS.
TEST(ClientOpening, MoreBehindTheReplyToStarttlsEndsTheSession) {
  for (const char* more : {"250 mx", "2", "\x16\x03\x01"}) {
    Dialogue dialogue(relay(), Cut::whole, 1, kOffered);
    dialogue.play(kTls + "< 220 go\n<| " + more + "\n", {});
    EXPECT_EQ(dialogue.told,
              "close tls 4.5.0 the peer broke the protocol: it sent more behind its reply to "
              "STARTTLS\n");
    EXPECT_EQ(dialogue.said, "EHLO relay\nSTARTTLS\n");
  }
}

TEST(ClientOpening, SecuredBeforeTheGreeting) {
  ClientSession session(relay(), kBoth);
  session.secured();
  EXPECT_TRUE(session.secure());
  EXPECT_EQ(session.waiting_for(), Phase::greeting);
  const std::string greeting = "220 mx\r\n";
  EXPECT_EQ(session.step(as_bytes(greeting)).action, ClientSession::Action::more);
  std::vector<ClientSession::OutputPart> parts;
  session.take_output(parts);
  session.output_sent();
  const std::string hello = "250-mx\r\n250 AUTH PLAIN\r\n";
  EXPECT_EQ(session.step(as_bytes(hello)).action, ClientSession::Action::authenticate);
}

TEST(ClientOpening, WhatIsWaitedFor) {
  ClientSession session(relay(), kOffered);
  const auto say = [&](const std::string& text) {
    const auto action = session.step(as_bytes(text)).action;
    std::vector<ClientSession::OutputPart> parts;
    if (session.has_output()) {
      session.take_output(parts);
      session.output_sent();
    }
    return action;
  };
  say("220 mx\r\n");
  say("250-mx\r\n250 STARTTLS\r\n");
  EXPECT_EQ(session.waiting_for(), Phase::tls);
  EXPECT_TRUE(session.waiting());
  EXPECT_EQ(say("220 go\r\n"), ClientSession::Action::start_tls);
  EXPECT_EQ(session.waiting_for(), Phase::tls);
  EXPECT_TRUE(session.waiting());
  EXPECT_FALSE(session.has_output());
}

TEST(ClientOpening, MechanismsAreReadFromBothForms) {
  const auto mechanisms = [](const std::string& lines) {
    ClientSession session(relay(), kAuth);
    const std::string greeting = "220 mx\r\n";
    session.step(as_bytes(greeting));
    std::vector<ClientSession::OutputPart> parts;
    session.take_output(parts);
    session.output_sent();
    const std::string hello = "250-mx\r\n" + lines + "250 HELP\r\n";
    session.step(as_bytes(hello));
    return session.capabilities().auth;
  };
  EXPECT_EQ(mechanisms("250-AUTH PLAIN  LOGIN\r\n"), "PLAIN LOGIN");
  EXPECT_EQ(mechanisms("250-AUTH=LOGIN PLAIN\r\n"), "LOGIN PLAIN");
  EXPECT_EQ(mechanisms("250-AUTH\r\n"), "");
  EXPECT_EQ(mechanisms("250-AUTHOR\r\n"), "");
  EXPECT_LE(mechanisms("250-AUTH " + std::string(3000, 'X') + "\r\n").size(), 512U);
}

}  // namespace
}  // namespace ringmta::smtp
