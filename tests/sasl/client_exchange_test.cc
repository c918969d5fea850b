// SPDX-License-Identifier: GPL-3.0-or-later
// The client's exchanges, octet by octet, and servers that lie.
#include "ringmta/sasl/client_exchange.h"

#include <gtest/gtest.h>

#include "ringmta/base/base64.h"

namespace ringmta::sasl {
namespace {

using namespace std::string_literals;
using Action = ClientExchange::Action;

std::string decoded(std::string_view text) {
  std::string octets;
  EXPECT_TRUE(append_base64_decoded(text, octets));
  return octets;
}

const std::string kNonceText = "rOprNGfwEbeRWgbNEkqO";  // RFC 7677 3
const std::string kNonce = decoded(kNonceText);
const std::string kServerFirst =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const std::string kServerFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

ClientLogin pencil() { return {.user = "user", .secret = "pencil", .nonce = kNonce}; }

void expect_response(const ClientExchange::Step& step, std::string_view text) {
  EXPECT_EQ(step.action, Action::respond) << step.text;
  EXPECT_EQ(step.text, text);
}
void expect_failed(const ClientExchange::Step& step, std::string_view about) {
  EXPECT_EQ(step.action, Action::failed);
  EXPECT_NE(step.text.find(about), std::string_view::npos) << step.text;
}

TEST(ClientPlain, IsOneMessage) {
  ClientExchange exchange(Mechanism::plain, {.user = "me", .secret = "pass word"});
  ASSERT_TRUE(exchange.has_first());
  expect_response(exchange.first(), "\0me\0pass word"s);
  EXPECT_EQ(exchange.finish(), "");
  ClientExchange other(Mechanism::plain, {.user = "me", .secret = "x", .authorization = "boss"});
  expect_response(other.first(), "boss\0me\0x"s);
  expect_failed(other.next(""), "asks for more");
}

TEST(ClientPlain, RefusesWhatItCannotSay) {
  ClientExchange nul(Mechanism::plain, {.user = "me", .secret = std::string_view("a\0b", 3)});
  expect_failed(nul.first(), "NUL");
  ClientExchange name(Mechanism::plain, {.user = "m\re", .secret = "x"});
  expect_failed(name.first(), "control");
  ClientExchange empty(Mechanism::plain, {.user = "me", .secret = ""});
  expect_failed(empty.first(), "empty");
}

TEST(ClientLogin, AnswersInOrderWhateverIsAsked) {
  for (const std::string_view prompt : {"Username:", "", "User Name\0"}) {
    ClientExchange exchange(Mechanism::login, {.user = "me", .secret = "secret"});
    EXPECT_FALSE(exchange.has_first());
    expect_response(exchange.next(prompt), "me");
    EXPECT_NE(exchange.finish(), "");
    ClientExchange second(Mechanism::login, {.user = "me", .secret = "secret"});
    second.next(prompt);
    expect_response(second.next("Password:"), "secret");
    EXPECT_EQ(second.finish(), "");
    expect_failed(second.next("More?"), "asks for more");
  }
}

TEST(ClientScram, ExampleOfRfc7677) {
  ClientExchange exchange(Mechanism::scram_sha_256, pencil());
  expect_response(exchange.first(), "n,,n=user,r=" + kNonceText);
  EXPECT_EQ(exchange.next(kServerFirst).action, Action::derive);
  EXPECT_EQ(exchange.work().iterations, 4096U);
  expect_response(exchange.derived(derive(exchange.work())),
                  "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                  "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
  expect_response(exchange.next(kServerFinal), "");
  EXPECT_EQ(exchange.finish(), "");
}

TEST(ClientScram, BindsItselfToTheConnection) {
  std::string binding;
  for (int i = 0; i < 32; ++i) binding += static_cast<char>(i);
  ClientLogin login{.user = "us=er",
                    .secret = "pa\xCC\x88ss w\xC3\xB6rd",
                    .authorization = "boss,eu",
                    .binding = binding,
                    .nonce = kNonce};
  ClientExchange exchange(Mechanism::scram_sha_256_plus, login);
  expect_response(exchange.first(), "p=tls-exporter,a=boss=2Ceu,n=us=3Der,r=" + kNonceText);
  exchange.next("r=" + kNonceText + "%server,s=c2FsdA==,i=5000");
  expect_response(
      exchange.derived(derive(exchange.work())),
      "c=cD10bHMtZXhwb3J0ZXIsYT1ib3NzPTJDZXUsAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,"
      "r=rOprNGfwEbeRWgbNEkqO%server,p=VJYRJKUPvK2+qeX19dY2tGNvqjIYEVcrV+KkzdL4Bgk=");
  expect_response(exchange.next("v=prOqqQViBupXDu3J1ySM+pvauA3kA1b4T5DfZPd1Cjk="), "");
  EXPECT_EQ(exchange.finish(), "");

  ClientExchange declined(Mechanism::scram_sha_256, login);
  EXPECT_EQ(declined.first().text.substr(0, 2), "y,");
  login.binding = {};
  ClientExchange without(Mechanism::scram_sha_256_plus, login);
  expect_failed(without.first(), "channel binding");
}

TEST(ClientScram, TheServerMustProveItself) {
  ClientExchange liar(Mechanism::scram_sha_256, pencil());
  liar.first();
  liar.next(kServerFirst);
  liar.derived(derive(liar.work()));
  expect_failed(liar.next("v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), "could not prove");

  ClientExchange silent(Mechanism::scram_sha_256, pencil());
  silent.first();
  silent.next(kServerFirst);
  silent.derived(derive(silent.work()));
  EXPECT_NE(silent.finish(), "");

  ClientExchange at_once(Mechanism::scram_sha_256, pencil());
  at_once.first();
  EXPECT_NE(at_once.finish(), "");
}

TEST(ClientScram, TheServersErrorIsTold) {
  ClientExchange exchange(Mechanism::scram_sha_256, pencil());
  exchange.first();
  exchange.next(kServerFirst);
  exchange.derived(derive(exchange.work()));
  expect_response(exchange.next("e=invalid-proof"), "");
  EXPECT_EQ(exchange.explanation(), "invalid-proof");
  EXPECT_NE(exchange.finish(), "");
}

TEST(ClientScram, OddServers) {
  const std::string nonce = "r=" + kNonceText + "x";
  const std::pair<std::string, std::string_view> odd[] = {
      {"", "malformed"},
      {"e=other-error", "malformed"},
      {nonce, "malformed"},
      {nonce + ",s=c2FsdA==", "malformed"},
      {nonce + ",s=,i=4096", "malformed"},
      {nonce + ",s=c2FsdA=,i=4096", "malformed"},
      {nonce + ",s=c2FsdA==,i=", "malformed"},
      {nonce + ",s=c2FsdA==,i=-1", "malformed"},
      {nonce + ",s=c2FsdA==,i=04096", "malformed"},
      {nonce + ",s=c2FsdA==,i=4096x", "malformed"},
      {nonce + ",s=c2FsdA==,i=99999999999", "malformed"},
      {nonce + ",i=4096,s=c2FsdA==", "malformed"},
      {"m=ext," + nonce + ",s=c2FsdA==,i=4096", "malformed"},
      {nonce + ",s=c2FsdA==,i=4096,m=ext", "malformed"},
      {nonce + ",s=c2FsdA==,i=4096,", "malformed"},
      {nonce + "\0,s=c2FsdA==,i=4096"s, "malformed"},
      {nonce + ",s=" + std::string(9000, 'A') + ",i=4096", "malformed"},
      {"r=" + kNonceText + ",s=c2FsdA==,i=4096", "does not continue"},
      {"r=x" + kNonceText + ",s=c2FsdA==,i=4096", "does not continue"},
      {nonce + ",s=c2FsdA==,i=4095", "fewer"},
      {nonce + ",s=c2FsdA==,i=1000001", "more SCRAM"},
  };
  for (const auto& [message, about] : odd) {
    ClientExchange exchange(Mechanism::scram_sha_256, pencil());
    exchange.first();
    const ClientExchange::Step step = exchange.next(message);
    EXPECT_EQ(step.action, Action::failed) << message;
    EXPECT_NE(step.text.find(about), std::string_view::npos) << message << ": " << step.text;
  }
  ClientExchange extended(Mechanism::scram_sha_256, pencil());
  extended.first();
  EXPECT_EQ(extended.next(nonce + ",s=c2FsdA==,i=4096,x=unknown").action, Action::derive);
}

TEST(ClientScram, NeedsPreparedTextAndAGoodNonce) {
  ClientLogin login = pencil();
  login.secret = "pen\acil";
  expect_failed(ClientExchange(Mechanism::scram_sha_256, login).first(), "SASLprep");
  login = pencil();
  login.nonce = "short";
  expect_failed(ClientExchange(Mechanism::scram_sha_256, login).first(), "nonce");
}

TEST(ClientXoauth2, SendsTheTokenAndAnswersTheErrorByNothing) {
  ClientExchange exchange(Mechanism::xoauth2, {.user = "someuser@example.com", .secret = "ya29.x"});
  expect_response(exchange.first(), "user=someuser@example.com\1auth=Bearer ya29.x\1\1");
  expect_response(exchange.next("{\"status\":\"401\",\n\"scope\":\"mail\"}"), "");
  EXPECT_EQ(exchange.explanation(), "{\"status\":\"401\",?\"scope\":\"mail\"}");
  EXPECT_NE(exchange.finish(), "");
  expect_failed(exchange.next("again"), "asks for more");
  ClientExchange bad(Mechanism::xoauth2, {.user = "me", .secret = "two\1words"});
  expect_failed(bad.first(), "token");
}

TEST(ClientOauthbearer, IsAsRfc7628Writes) {
  ClientExchange exchange(Mechanism::oauthbearer,
                          {.user = "user@example.com",
                           .secret = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==",
                           .host = "server.example.com",
                           .port = 587});
  expect_response(exchange.first(),
                  "n,a=user@example.com,\1host=server.example.com\1port=587\1"
                  "auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\1\1");
  expect_response(exchange.next("{\"status\":\"invalid_token\"}"), "\1");
  EXPECT_EQ(exchange.explanation(), "{\"status\":\"invalid_token\"}");
}

TEST(Mechanisms, AreFoundInALine) {
  EXPECT_TRUE(lists("PLAIN LOGIN SCRAM-SHA-256", Mechanism::scram_sha_256));
  EXPECT_TRUE(lists("plain", Mechanism::plain));
  EXPECT_FALSE(lists("SCRAM-SHA-256-PLUS", Mechanism::scram_sha_256));
  EXPECT_FALSE(lists("", Mechanism::plain));
  EXPECT_TRUE(lists(" XOAUTH2  OAUTHBEARER ", Mechanism::oauthbearer));
  EXPECT_EQ(mechanism_named("Scram-Sha-256-Plus"), Mechanism::scram_sha_256_plus);
  EXPECT_EQ(mechanism_named("CRAM-MD5"), std::nullopt);
}

}  // namespace
}  // namespace ringmta::sasl
