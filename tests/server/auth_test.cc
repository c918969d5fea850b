// SPDX-License-Identifier: GPL-3.0-or-later
// AUTH from outside: who gets in, what a user may do then, and what guessing costs.
#include <gtest/gtest.h>

#include "ringmta/base/base64.h"
#include "ringmta/sasl/client_exchange.h"
#include "station.h"

namespace ringmta::server {
namespace {

constexpr const char* kStranger = "203.0.113.9";  // not in relay_networks
constexpr const char* kOther = "203.0.113.10";
const std::string kRight = "235 2.7.0";
const std::string kWrong = "535 5.7.8";

std::string encoded(std::string_view octets) {
  std::string text;
  append_base64(as_bytes(octets), text);
  return text;
}
std::string plain(std::string_view user, std::string_view password) {
  std::string octets;
  octets.append(1, '\0').append(user).append(1, '\0').append(password);
  return "AUTH PLAIN " + encoded(octets) + "\r\n";
}

struct Auth : Station {
  Auth() { options.auth.clear_networks = {*Network::parse("203.0.113.0/24")}; }

  void add_user(std::string_view name, std::string_view password, std::string_view extra = "") {
    file += sasl::user_line(name, sasl::make_verifier(password, "salt of 16 octet", 4096));
    file.append(":").append(extra).append("\n");
    std::vector<sasl::UserFault> faults;
    options.auth.users = sasl::Users::parse(file, faults);
    ASSERT_NE(options.auth.users, nullptr) << faults.at(0).message;
  }
  // The reply to what is said.
  std::string ask(Client& client, const std::string& text) {
    const size_t before = client.replies().size();
    client.say(text);
    EXPECT_TRUE(run([&] { return client.replies().size() > before || client.ended; }));
    const auto replies = client.replies();
    return replies.size() > before ? replies.back() : "nothing";
  }
  Client& logged_in(std::string_view user, std::string_view password) {
    Client& client = greeted(kStranger);
    const std::string reply = ask(client, plain(user, password));
    EXPECT_EQ(reply.substr(0, 9), kRight);
    client.heard.clear();
    return client;
  }
  std::string file;
};

TEST_F(Auth, IsNotOfferedWithoutUsers) {
  start();
  Client& client = connect(kStranger);
  hears(client, "220 ");
  client.say("EHLO client.example\r\n");
  hears(client, "250 LIMITS");
  EXPECT_EQ(client.heard.find("AUTH"), std::string::npos);
  EXPECT_EQ(ask(client, plain("alice", "pencil")).substr(0, 9), "502 5.5.1");
}

TEST_F(Auth, IsOfferedWhereTheClientIsExemptFromTls) {
  add_user("alice", "pencil");
  options.auth.clear_networks = {*Network::parse("203.0.113.9")};
  start();
  Client& client = connect(kStranger);
  hears(client, "220 ");
  client.say("EHLO client.example\r\n");
  hears(client, "250-AUTH SCRAM-SHA-256 PLAIN LOGIN\r\n");  // no -PLUS without TLS
  Client& other = connect(kOther);
  hears(other, "220 ");
  other.say("EHLO client.example\r\n");
  hears(other, "250 LIMITS");
  EXPECT_EQ(other.heard.find("AUTH"), std::string::npos);
}

TEST_F(Auth, OpensTheRelayAndNamesTheUser) {
  add_user("alice", "pencil");
  start();
  Client& client = greeted(kStranger);
  EXPECT_EQ(ask(client, "MAIL FROM:<a@b.example>\r\n").substr(0, 9), "530 5.7.0");
  EXPECT_EQ(ask(client, plain("alice", "pencil")).substr(0, 9), kRight);
  client.say(message("hello"));
  hears(client, "250 2.0.0 Ok: queued as");
  ASSERT_EQ(stored.size(), 1U);
  EXPECT_EQ(stored[0].info.user, "alice");
  EXPECT_EQ(stored[0].info.tenant, "alice");
  EXPECT_NE(stored[0].wire.find(" with ESMTPA id "), std::string::npos) << stored[0].wire;
  EXPECT_EQ(server->counters().auth_successes, 1U);
}

TEST_F(Auth, TenantAndSmtputf8) {
  add_user("alice", "pencil", "tenant=acme");
  start();
  Client& client = logged_in("alice", "pencil");
  client.say("MAIL FROM:<a@b.example> SMTPUTF8\r\nRCPT TO:<b@c.example>\r\nDATA\r\na\r\n.\r\n");
  hears(client, "250 2.0.0 Ok: queued as");
  ASSERT_EQ(stored.size(), 1U);
  EXPECT_EQ(stored[0].info.tenant, "acme");
  EXPECT_NE(stored[0].wire.find(" with UTF8SMTPA id "), std::string::npos);
}

TEST_F(Auth, Login) {
  add_user("alice", "pencil");
  start();
  Client& client = greeted(kStranger);
  EXPECT_EQ(ask(client, "AUTH LOGIN\r\n"), "334 VXNlcm5hbWU6");
  EXPECT_EQ(ask(client, encoded("alice") + "\r\n"), "334 UGFzc3dvcmQ6");
  EXPECT_EQ(ask(client, encoded("pencil") + "\r\n").substr(0, 9), kRight);
}

TEST_F(Auth, Scram) {
  add_user("alice", "pencil");
  start();
  Client& client = greeted(kStranger);
  sasl::ClientExchange exchange(
      sasl::Mechanism::scram_sha_256,
      {.user = "alice", .secret = "pencil", .nonce = "a nonce of enough octets"});
  std::string reply = ask(client, "AUTH SCRAM-SHA-256 " + encoded(exchange.first().text) + "\r\n");
  for (int round = 0; round < 2; ++round) {
    ASSERT_EQ(reply.substr(0, 4), "334 ");
    std::string challenge;
    ASSERT_TRUE(append_base64_decoded(std::string_view(reply).substr(4), challenge));
    auto step = exchange.next(challenge);
    if (step.action == sasl::ClientExchange::Action::derive) {
      step = exchange.derived(sasl::derive(exchange.work()));
    }
    ASSERT_EQ(step.action, sasl::ClientExchange::Action::respond) << step.text;
    reply = ask(client, encoded(step.text) + "\r\n");
  }
  EXPECT_EQ(reply.substr(0, 9), kRight);
  EXPECT_EQ(exchange.finish(), "");
}

TEST_F(Auth, CommandsBehindItWait) {
  add_user("alice", "pencil");
  options.auth.delay_max = seconds(1);
  start();
  Client& client = greeted(kStranger);
  client.say(plain("alice", "wrong") + "NOOP\r\n" + plain("alice", "pencil") + message("x") +
             "QUIT\r\n");
  gone(client);
  const auto replies = client.replies();
  ASSERT_EQ(replies.size(), 8U) << client.heard;
  const char* begin[] = {"535 5.7.8", "250 2.0.0", "235 2.7.0", "250 2.1.0",
                         "250 2.1.5", "354 ",      "250 2.0.0", "221 2.0.0"};
  for (size_t i = 0; i < replies.size(); ++i) {
    EXPECT_EQ(replies[i].substr(0, std::string_view(begin[i]).size()), begin[i]);
  }
}

TEST_F(Auth, FailuresAreAnsweredLaterAndLater) {
  add_user("alice", "pencil");
  options.auth.delay_max = seconds(4);
  start();
  for (int i = 0; i < 6; ++i) {
    Client& client = greeted(kStranger);
    const Monotonic asked = world.now();
    EXPECT_EQ(ask(client, plain("alice", "wrong")).substr(0, 9), kWrong);
    const int64_t took = (world.now() - asked).count;
    EXPECT_GE(took, std::min<int64_t>(250 << i, 4000)) << i;
    EXPECT_LE(took, std::min<int64_t>(250 << i, 4000) + 500) << i;
  }
  // From elsewhere and by another name there is no such history.
  Client& other = greeted(kOther);
  const Monotonic asked = world.now();
  EXPECT_EQ(ask(other, plain("bob", "wrong")).substr(0, 9), kWrong);
  EXPECT_LE((world.now() - asked).count, 500);
}

TEST_F(Auth, ASessionThatFailsThreeTimesIsEnded) {
  add_user("alice", "pencil");
  options.auth.delay_max = {0};
  start();
  Client& client = greeted(kStranger);
  EXPECT_EQ(ask(client, plain("alice", "a")).substr(0, 9), kWrong);
  EXPECT_EQ(ask(client, plain("alice", "b")).substr(0, 9), kWrong);
  EXPECT_EQ(ask(client, plain("alice", "c")).substr(0, 9), "421 4.7.0");
  gone(client);
}

TEST_F(Auth, NetworkAndUserAreBlockedForAWhile) {
  add_user("alice", "pencil");
  add_user("bob", "rubber");
  options.auth.delay_max = {0};
  options.auth.failures_max = 4;
  start();
  for (int i = 0; i < 4; ++i) ask(greeted(kStranger), plain("alice", "wrong"));
  // Even the right password does not help there, by no mechanism ...
  EXPECT_EQ(ask(greeted(kStranger), plain("alice", "pencil")).substr(0, 9), "454 4.7.0");
  EXPECT_EQ(ask(greeted(kStranger), "AUTH SCRAM-SHA-256 " + encoded("n,,n=alice,r=x") + "\r\n")
                .substr(0, 9),
            "454 4.7.0");
  EXPECT_EQ(server->counters().auth_blocked, 2U);
  EXPECT_EQ(ask(greeted(kStranger), plain("bob", "rubber")).substr(0, 9), kRight);
  // ... while alice gets in from elsewhere, and there too when time has passed.
  EXPECT_EQ(ask(greeted(kOther), plain("alice", "pencil")).substr(0, 9), kRight);
  world.run_for(minutes(16));
  EXPECT_EQ(ask(greeted(kStranger), plain("alice", "pencil")).substr(0, 9), kRight);
}

TEST_F(Auth, WhoWasVerifiedBeforePassesABlock) {
  add_user("alice", "pencil");
  options.auth.delay_max = {0};
  options.auth.failures_max = 2;
  start();
  EXPECT_EQ(ask(greeted(kStranger), plain("alice", "pencil")).substr(0, 9), kRight);
  for (int i = 0; i < 3; ++i) ask(greeted(kStranger), plain("alice", "wrong"));
  EXPECT_EQ(ask(greeted(kStranger), plain("alice", "guess")).substr(0, 9), "454 4.7.0");
  EXPECT_EQ(ask(greeted(kStranger), plain("alice", "pencil")).substr(0, 9), kRight);
}

TEST_F(Auth, ANetworkThatTriesManyNamesIsBlocked) {
  add_user("alice", "pencil");
  options.auth.delay_max = {0};
  options.auth.network_failures_max = 5;
  start();
  for (int i = 0; i < 5; ++i) ask(greeted(kStranger), plain("user" + std::to_string(i), "wrong"));
  EXPECT_EQ(ask(greeted(kStranger), plain("alice", "pencil")).substr(0, 9), "454 4.7.0");
  EXPECT_EQ(ask(greeted(kOther), plain("alice", "pencil")).substr(0, 9), kRight);
}

TEST_F(Auth, SendersOfAUser) {
  add_user("alice", "pencil", "senders=@one.example");
  start();
  Client& client = logged_in("alice", "pencil");
  EXPECT_EQ(ask(client, "MAIL FROM:<a@two.example>\r\n").substr(0, 9), "553 5.7.1");
  EXPECT_EQ(server->counters().senders_refused, 1U);
  client.say(message("mine"));
  hears(client, "250 2.0.0 Ok: queued as");
  EXPECT_EQ(ask(client, "MAIL FROM:<>\r\n").substr(0, 9), "250 2.1.0");
}

TEST_F(Auth, SessionsOfAUser) {
  add_user("dave", "pencil", "sessions=2");
  start();
  Client& one = logged_in("dave", "pencil");
  logged_in("dave", "pencil");
  EXPECT_EQ(ask(greeted(kOther), plain("dave", "pencil")).substr(0, 9), "454 4.7.0");
  one.say("QUIT\r\n");
  gone(one);
  EXPECT_EQ(ask(greeted(kOther), plain("dave", "pencil")).substr(0, 9), kRight);
}

TEST_F(Auth, MessagesOfAUser) {
  add_user("erin", "pencil", "messages_per_hour=2");
  start();
  Client& client = logged_in("erin", "pencil");
  for (const char* subject : {"one", "two"}) {
    client.heard.clear();
    client.say(message(subject));
    hears(client, "250 2.0.0 Ok: queued as");
  }
  EXPECT_EQ(ask(client, "MAIL FROM:<a@b.example>\r\n").substr(0, 9), "450 4.7.1");
  EXPECT_EQ(stored.size(), 2U);
}

TEST_F(Auth, AReloadChangesWhoMayComeAndTheOthersGoOn) {
  add_user("alice", "pencil");
  add_user("carol", "eraser");
  start();
  Client& client = logged_in("carol", "eraser");
  file.clear();
  add_user("carol", "eraser", "tenant=acme");
  add_user("bob", "rubber");
  server->reload(options);
  client.say(message("still here"));
  hears(client, "250 2.0.0 Ok: queued as");
  EXPECT_EQ(stored.at(0).info.user, "carol");
  EXPECT_EQ(stored.at(0).info.tenant, "acme");
  Client& next = greeted(kOther);
  EXPECT_EQ(ask(next, plain("alice", "pencil")).substr(0, 9), kWrong);
  EXPECT_EQ(ask(next, plain("bob", "rubber")).substr(0, 9), kRight);
}

// The message begun before the reload is finished; the session ends at its next MAIL.
TEST_F(Auth, ARemovedUserIsOutAtTheNextMail) {
  add_user("alice", "pencil");
  add_user("bob", "rubber", "sessions=1");
  start();
  Client& client = logged_in("alice", "pencil");
  Client& bob = logged_in("bob", "rubber");
  client.say("MAIL FROM:<a@b.example>\r\n");
  hears(client, "250 2.1.0");
  file.clear();
  add_user("carol", "eraser");
  server->reload(options);
  client.say("RCPT TO:<b@c.example>\r\nDATA\r\na\r\n.\r\nNOOP\r\n");
  hears(client, "250 2.0.0 Ok\r\n");
  EXPECT_EQ(stored.size(), 1U);
  client.say(message("too late"));
  gone(client);
  EXPECT_NE(client.heard.find("421 4.7.0 What you may do here has changed"), std::string::npos);
  EXPECT_EQ(stored.size(), 1U);
  EXPECT_EQ(ask(bob, "MAIL FROM:<a@b.example>\r\n").substr(0, 9), "421 4.7.0");
  EXPECT_EQ(server->counters().senders_refused, 2U);
  // Nobody counts as logged in any more: the one session that bob may have is free again.
  add_user("bob", "rubber", "sessions=1");
  server->reload(options);
  logged_in("bob", "rubber");
}

TEST_F(Auth, AnotherPasswordEndsSessionsMadeWithTheOldOne) {
  add_user("alice", "pencil");
  start();
  Client& client = logged_in("alice", "pencil");
  file.clear();
  add_user("alice", "rubber");
  server->reload(options);
  EXPECT_EQ(ask(client, "MAIL FROM:<a@b.example>\r\n").substr(0, 9), "421 4.7.0");
  gone(client);
  EXPECT_EQ(ask(greeted(kStranger), plain("alice", "rubber")).substr(0, 9), kRight);
}

TEST_F(Auth, LoweredRightsHoldAtTheNextMail) {
  add_user("frank", "pencil");
  start();
  Client& client = logged_in("frank", "pencil");
  EXPECT_EQ(ask(client, "MAIL FROM:<a@two.example>\r\n").substr(0, 9), "250 2.1.0");
  EXPECT_EQ(ask(client, "RSET\r\n").substr(0, 3), "250");
  file.clear();
  add_user("frank", "pencil", "senders=@one.example messages_per_hour=1");
  server->reload(options);
  EXPECT_EQ(ask(client, "MAIL FROM:<a@two.example>\r\n").substr(0, 9), "553 5.7.1");
  client.heard.clear();
  client.say(message("mine"));
  hears(client, "250 2.0.0 Ok: queued as");
  EXPECT_EQ(ask(client, "MAIL FROM:<a@one.example>\r\n").substr(0, 9), "450 4.7.1");
  // And raised ones, too.
  file.clear();
  add_user("frank", "pencil");
  server->reload(options);
  EXPECT_EQ(ask(client, "MAIL FROM:<a@two.example>\r\n").substr(0, 9), "250 2.1.0");
}

TEST_F(Auth, RightsByNetworkGoWithAReloadToo) {
  add_user("alice", "pencil");
  options.relay_networks = {*Network::parse("198.51.100.0/24")};
  start();
  Client& trusted = greeted(kClient);
  Client& exempt = logged_in("alice", "pencil");
  EXPECT_EQ(ask(trusted, "MAIL FROM:<a@b.example>\r\n").substr(0, 9), "250 2.1.0");
  EXPECT_EQ(ask(trusted, "RSET\r\n").substr(0, 3), "250");
  server->reload(options);  // nothing has changed
  EXPECT_EQ(ask(trusted, "MAIL FROM:<a@b.example>\r\n").substr(0, 9), "250 2.1.0");
  EXPECT_EQ(ask(trusted, "RSET\r\n").substr(0, 3), "250");
  options.relay_networks = {*Network::parse("192.0.2.0/24")};
  options.auth.clear_networks.clear();
  server->reload(options);
  EXPECT_EQ(ask(trusted, "MAIL FROM:<a@b.example>\r\n").substr(0, 9), "421 4.7.0");
  EXPECT_EQ(ask(exempt, "MAIL FROM:<a@b.example>\r\n").substr(0, 9), "421 4.7.0");
}

TEST_F(Auth, ClientsThatLeaveInTheMiddle) {
  add_user("alice", "pencil");
  start();
  Client& asked = greeted(kStranger);
  EXPECT_EQ(ask(asked, "AUTH LOGIN\r\n").substr(0, 4), "334 ");
  asked.reset();
  Client& waits = greeted(kStranger);
  waits.say(plain("alice", "wrong"));  // its reply is delayed
  world.run_for(Milliseconds{100});
  waits.reset();
  world.run_for(seconds(10));
  EXPECT_EQ(server->counters().sessions, 0U);
}

TEST_F(Auth, AShutdownDoesNotWaitForADelayedReply) {
  add_user("alice", "pencil");
  start();
  Client& client = greeted(kStranger);
  client.say(plain("alice", "wrong"));
  world.run_for(Milliseconds{50});
  server->stop();
  gone(client, seconds(5));
  EXPECT_NE(client.heard.find("421 4.3.2"), std::string::npos) << client.heard;
}

}  // namespace
}  // namespace ringmta::server
