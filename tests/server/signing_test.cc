// SPDX-License-Identifier: GPL-3.0-or-later
// Signing within the server: what is stored carries its signatures, and whoever is not signed, or
// has little to sign, does not wait for those who have much. Waiting is counted in turns of the
// loop and by who is answered first; no clock is asked.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "../dkim/test_keys.h"
#include "ringmta/base/base64.h"
#include "station.h"

namespace ringmta::server {
namespace {

std::string mail(const std::string& from, const std::string& more = {}) {
  return opening() + "From: " + from + "\r\n" + more + "\r\nhello\r\n.\r\n";
}

class SigningTest : public Station {
 protected:
  SigningTest() {
    std::string pattern = std::filesystem::temp_directory_path() / "ringmta-signing-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    std::ofstream(directory_ / "rsa.pem") << dkim::kRsa2048Pem;
    std::ofstream(directory_ / "ed.pem") << dkim::kEd25519Pem;
  }
  ~SigningTest() override { std::filesystem::remove_all(directory_); }

  void key(const std::string& file, const std::string& selector,
           const std::string& domain = "signed.example") {
    dkim::KeyOptions& one = options.dkim.keys.emplace_back();
    one.key_file = directory_ / file;
    one.signature.domain = domain;
    one.signature.selector = selector;
  }
  void start_signing() {
    start();
    use_keys();
  }
  void use_keys() {
    server->reload(options);
    server->sign_with(std::move(*dkim::KeyRing::load(options.dkim)));
  }
  // From here on a turn of the server takes a millisecond, as one does that is full of signing: in
  // the simulator, work takes no time of itself.
  void turns_take_time() { world.drive(*io, nullptr, nullptr); }
  // Turns until `done`; 0: it never was.
  uint64_t turns_until(const std::function<bool()>& done) {
    for (uint64_t turns = 1; turns < 10'000; ++turns) {
      loop->turn(io->now());
      world.run_for(Milliseconds{1});
      if (done()) return turns;
    }
    return 0;
  }
  void turns_take_no_time() {
    world.drive(*io, loop.get(), [](void* self) { static_cast<shard::Loop*>(self)->turn(); });
  }
  size_t signatures_on(const Stored& one) const {
    size_t count = 0;
    for (size_t at = 0; one.wire.compare(at, 15, "DKIM-Signature:") == 0; ++count) {
      do at = one.wire.find("\r\n", at) + 2;
      while (one.wire[at] == ' ' || one.wire[at] == '\t');
    }
    return count;
  }
  // Turns from an unsigned message to its 250.
  uint64_t turns_for_unsigned(Client& client) {
    const size_t before = client.count("250 2.0.0 Ok: queued");
    client.say(mail("a@unsigned.example"));
    return turns_until([&] { return client.count("250 2.0.0 Ok: queued") > before; });
  }
  // `count` sessions, each with eight messages to be signed, all at once.
  std::vector<Client*> flood(int count) {
    std::vector<Client*> sessions;
    for (int i = 0; i < count; ++i) sessions.push_back(&greeted());
    std::string eight;
    for (int i = 0; i < 8; ++i) eight += mail("a@signed.example");
    for (Client* one : sessions) one->say(eight);
    return sessions;
  }

 private:
  std::filesystem::path directory_;
};

TEST_F(SigningTest, SignaturesStandAboveTheTraceInTheOrderOfTheFile) {
  key("rsa.pem", "first");
  key("ed.pem", "second");
  start_signing();
  Client& client = greeted();
  client.say(mail("a@signed.example", "Subject: x\r\n"));
  ASSERT_TRUE(hears(client, "250 2.0.0 Ok: queued as "));
  ASSERT_EQ(stored.size(), 1U);
  const std::string& wire = stored[0].wire;
  EXPECT_EQ(signatures_on(stored[0]), 2U) << wire;
  const size_t second = wire.find("s=second");
  EXPECT_LT(wire.find("s=first"), second);
  EXPECT_LT(second, wire.find("\r\nReceived: from client.example"));
  EXPECT_TRUE(wire.ends_with("\r\nFrom: a@signed.example\r\nSubject: x\r\n\r\nhello\r\n.\r\n"));
  EXPECT_EQ(stored[0].recipients, std::vector<std::string>{"b@two.example"});
  EXPECT_EQ(stored[0].reverse_path, "a@one.example");
  EXPECT_EQ(server->counters().dkim_messages, 1U);
  EXPECT_EQ(server->counters().dkim_signatures, 2U);
  EXPECT_EQ(server->counters().messages, 1U);
}

TEST_F(SigningTest, WhatNoKeyIsForIsStoredAsItIs) {
  key("rsa.pem", "s");
  start_signing();
  Client& client = greeted();
  client.say(mail("a@unsigned.example") + opening() + "Subject: no author\r\n\r\n.\r\n");
  ASSERT_TRUE(run([&] { return client.count("250 2.0.0 Ok: queued") == 2; }));
  for (const Stored& one : stored) EXPECT_TRUE(one.wire.starts_with("Received: ")) << one.wire;
  EXPECT_EQ(server->counters().dkim_messages, 0U);
  EXPECT_EQ(server->counters().dkim_failures, 0U);
}

// All of it is body, behind the empty line: a From in it names no author to sign for.
TEST_F(SigningTest, AContentWithoutAHeaderSectionIsBodyAndHasNoAuthor) {
  key("rsa.pem", "s");
  start_signing();
  Client& client = greeted();
  client.say(opening() + "just a body line\r\nFrom: a@signed.example\r\n\r\nmore\r\n.\r\n" +
             "MAIL FROM:<a@one.example>\r\nRCPT TO:<b@two.example>\r\nBDAT 4\r\njust" +
             "BDAT 41 LAST\r\n a body line\r\nFrom: a@signed.example\r\nx\r\n");
  ASSERT_TRUE(run([&] { return client.count("250 2.0.0 Ok: queued") == 2; })) << client.heard;
  for (const Stored& one : stored) {
    EXPECT_NE(one.wire.find("\r\nDate: "), std::string::npos) << one.wire;
    const size_t id = one.wire.find("\r\nMessage-ID: <");
    ASSERT_NE(id, std::string::npos) << one.wire;
    EXPECT_EQ(one.wire.find(">\r\n\r\njust a body line\r\n", id), one.wire.find(">\r\n", id));
    EXPECT_EQ(signatures_on(one), 0U) << one.wire;
  }
}

TEST_F(SigningTest, ALargeMessageKeepsItsContent) {
  key("ed.pem", "s");
  start_signing();
  Client& client = greeted();
  const std::string content = "From: a@signed.example\r\n" + big_content(300'000);
  client.say(opening() + content);
  ASSERT_TRUE(hears(client, "250 2.0.0 Ok: queued as "));
  ASSERT_EQ(stored.size(), 1U);
  EXPECT_EQ(signatures_on(stored[0]), 1U);
  EXPECT_TRUE(stored[0].wire.ends_with(content));
}

// Forty sessions have eight messages each to be signed; one has mail that is not.
TEST_F(SigningTest, AFloodOfSignedMailDoesNotHoldUpOthers) {
  key("rsa.pem", "s");
  start_signing();
  Client& plain = greeted();
  turns_take_time();
  const uint64_t quiet = turns_for_unsigned(plain);
  ASSERT_GT(quiet, 0U);
  turns_take_no_time();
  const std::vector<Client*> sessions = flood(40);
  turns_take_time();
  ASSERT_GT(turns_until([&] { return server->counters().dkim_waiting > 250; }), 0U);
  const uint64_t busy = turns_for_unsigned(plain);
  EXPECT_GT(server->counters().dkim_waiting, 100U) << "the flood was over already";
  EXPECT_GT(busy, 0U);
  EXPECT_LE(busy, quiet + 2);
  turns_take_no_time();
  for (const Client* one : sessions) {
    ASSERT_TRUE(run([&] { return one->count("250 2.0.0 Ok: queued") == 8; })) << one->heard;
  }
  EXPECT_EQ(server->counters().dkim_messages, 320U);
}

TEST_F(SigningTest, ATurnSignsForItsSliceAndNoLonger) {
  key("rsa.pem", "s");
  options.dkim.slice = Milliseconds{3};
  start_signing();
  const auto ring = dkim::KeyRing::load(options.dkim);
  std::vector<dkim::Signer*> signers;
  (*ring)->choose("signed.example", {}, signers);
  const uint64_t cost_us = signers.at(0)->key().signing_time_us();
  const uint64_t most = (3000 + cost_us - 1) / cost_us;
  flood(8);
  turns_take_time();
  uint64_t largest = 0;
  uint64_t before = 0;
  ASSERT_GT(turns_until([&] {
              const uint64_t now = server->counters().dkim_signatures;
              largest = std::max(largest, now - before);
              before = now;
              return now == 64;
            }),
            64 / most);
  EXPECT_EQ(largest, most);
  turns_take_no_time();
}

// Ten sessions have eight messages each; then one has a single message, and only one of each of
// them goes before it.
TEST_F(SigningTest, SessionsTakeTurns) {
  key("rsa.pem", "s");
  start_signing();
  Client& one = greeted();
  flood(10);
  turns_take_time();
  ASSERT_GT(turns_until([&] { return server->counters().dkim_waiting > 60; }), 0U);
  const uint64_t before = server->counters().dkim_signatures;
  one.say(opening("one@two.example") + "From: a@signed.example\r\n\r\nhello\r\n.\r\n");
  ASSERT_GT(turns_until([&] { return one.count("250 2.0.0 Ok: queued") == 1; }), 0U);
  EXPECT_GT(server->counters().dkim_waiting, 20U);
  turns_take_no_time();
  ASSERT_TRUE(run([&] { return stored.size() == 81; }));
  size_t place = 0;
  while (stored[place].reverse_path != "one@two.example") ++place;
  EXPECT_LE(place, before + 10 + 8);  // eight: signed while it was on its way
}

// Forty notifications wait; a session's message goes before all but the one whose turn it is.
TEST_F(SigningTest, TheRelaysOwnMessagesHaveTheTurnsOfOneSession) {
  constexpr uint64_t kOwnTag = (1ULL << 63) | 100'000;  // beyond the slots of sessions
  key("rsa.pem", "s");
  start_signing();
  Client& client = greeted();
  turns_take_time();
  const smtp::RecipientView recipient{"a@one.example", {}, 0};
  spool::MessageHead head;
  head.envelope.recipients = {&recipient, 1};
  head.info.is_dsn = true;
  for (uint64_t i = 0; i < 40; ++i) {
    const std::string content = "From: <daemon@signed.example>\r\n\r\nreturned\r\n.\r\n";
    ASSERT_EQ(server->sign_own(spool->next_id(), head, content, kOwnTag + i), Server::Own::taken);
  }
  EXPECT_EQ(server->sign_own(spool->next_id(), head, "From: a@b.example\r\n\r\n.\r\n", kOwnTag),
            Server::Own::not_signed);
  client.say(mail("a@signed.example"));
  ASSERT_GT(turns_until([&] { return client.count("250 2.0.0 Ok: queued") == 1; }), 0U);
  EXPECT_GT(server->counters().dkim_waiting, 10U) << "it waited for all the notifications";
  turns_take_no_time();
  ASSERT_TRUE(run([&] { return stored.size() == 41; }));
  for (const Stored& one : stored) EXPECT_EQ(signatures_on(one), 1U) << one.wire;
  EXPECT_EQ(server->counters().dkim_waiting, 0U);
}

TEST_F(SigningTest, ReplyOrderIsThatOfTheMessagesSignedOrNot) {
  key("rsa.pem", "s");
  start_signing();
  Client& client = greeted();
  client.say(mail("a@signed.example") + mail("a@unsigned.example") + "VRFY x\r\n");
  ASSERT_TRUE(hears(client, "252"));
  ASSERT_EQ(stored.size(), 2U);
  const std::vector<std::string> lines = client.replies();
  ASSERT_EQ(lines.size(), 9U);
  const auto id_of = [](const std::string& line) {
    return line.substr(std::string("250 2.0.0 Ok: queued as ").size());
  };
  for (const Stored& one : stored) {  // each id is that of its message, whoever came first
    const bool is_signed = signatures_on(one) == 1;
    EXPECT_NE(one.wire.find(id_of(lines[is_signed ? 3 : 7])), std::string::npos) << client.heard;
  }
}

TEST_F(SigningTest, AHeaderTooLargeIsRefusedOrGoesUnsigned) {
  key("ed.pem", "s");
  start_signing();
  const std::string large =
      mail("a@signed.example", "X-Large: " + std::string(300'000, 'x') + "\r\n");
  Client& client = greeted();
  client.say(large);
  ASSERT_TRUE(hears(client, "554 5.6.0 The header is too large to be signed"));
  EXPECT_TRUE(stored.empty());
  EXPECT_EQ(server->counters().dkim_failures, 1U);
  EXPECT_EQ(server->counters().messages_refused, 1U);
  options.dkim.on_failure = dkim::OnFailure::send_unsigned;
  use_keys();
  client.say(large);
  ASSERT_TRUE(hears(client, "250 2.0.0 Ok: queued as "));
  EXPECT_EQ(signatures_on(stored.at(0)), 0U);
  EXPECT_EQ(server->counters().dkim_failures, 2U);
}

TEST_F(SigningTest, WhatWaitsIsBounded) {
  key("rsa.pem", "s");
  options.dkim.waiting_max = 30'000;
  start_signing();
  const std::vector<Client*> crowd = flood(20);
  turns_take_time();
  uint64_t most = 0;
  uint64_t turns = 0;
  ASSERT_GT(turns_until([&] {
              most = std::max(most, server->counters().dkim_waiting);
              return ++turns > 100 && server->counters().dkim_waiting == 0;
            }),
            0U);
  turns_take_no_time();
  EXPECT_GT(most, 10U);
  EXPECT_LT(most, 20U);
  size_t accepted = 0;
  size_t refused = 0;
  for (const Client* one : crowd) {
    accepted += one->count("250 2.0.0 Ok: queued");
    refused += one->count("452 4.3.1");
  }
  EXPECT_GT(refused, 0U);
  EXPECT_EQ(stored.size(), accepted);
  Client& later = greeted();
  later.say(mail("a@signed.example"));
  EXPECT_TRUE(hears(later, "250 2.0.0 Ok: queued as "));
}

TEST_F(SigningTest, AMessageIsSignedByTheKeysItBeganWith) {
  key("ed.pem", "old");
  start_signing();
  Client& client = greeted();
  client.say(opening() + "From: a@signed.example\r\n");
  ASSERT_TRUE(run([&] { return client.count("354") == 1 && client.unsaid() == 0; }));
  world.run_for(seconds(1));
  options.dkim.keys.clear();
  key("rsa.pem", "new");
  use_keys();
  client.say("\r\nhello\r\n.\r\n");
  ASSERT_TRUE(hears(client, "250 2.0.0 Ok: queued as "));
  EXPECT_NE(stored.at(0).wire.find("s=old"), std::string::npos);
  server->sign_with(nullptr);
  client.say(mail("a@signed.example"));
  ASSERT_TRUE(run([&] { return stored.size() == 2; }));
  EXPECT_EQ(signatures_on(stored[1]), 0U);
}

// The user's tenant chooses the key, and both are kept though the session is gone before its
// message is signed.
TEST_F(SigningTest, AUsersTenantChoosesTheKeyAndStaysWithTheMessage) {
  const std::string kUser = "a-user-with-a-name-that-fits-in-no-short-string";
  const std::string kTenant = "a-tenant-with-a-name-that-fits-in-no-short-string";
  key("rsa.pem", "others");
  options.dkim.keys[0].tenants = {"someone else"};
  key("rsa.pem", "theirs");
  options.dkim.keys[1].tenants = {kTenant};
  std::vector<sasl::UserFault> faults;
  options.auth.users = sasl::Users::parse(
      sasl::user_line(kUser, sasl::make_verifier("pencil", "salt of 16 octet", 4096)) +
          ":tenant=" + kTenant + "\n",
      faults);
  ASSERT_NE(options.auth.users, nullptr) << faults.at(0).message;
  options.auth.clear_networks = {*Network::parse("203.0.113.0/24")};
  start_signing();
  Client& client = greeted("203.0.113.9");
  const std::string nul(1, 0);
  const std::string login = nul + kUser + nul + "pencil";
  std::string text;
  append_base64(as_bytes(login), text);
  client.say("AUTH PLAIN " + text + "\r\n");
  ASSERT_TRUE(hears(client, "235 2.7.0"));
  flood(4);
  turns_take_time();
  ASSERT_GT(turns_until([&] { return server->counters().dkim_waiting == 0; }), 0U);
  client.say(mail("a@signed.example") + mail("a@signed.example"));
  ASSERT_GT(turns_until([&] { return client.unsaid() == 0; }), 0U);
  client.reset();
  turns_take_no_time();
  const auto of_the_user = [](const Stored& one) { return !one.info.user.empty(); };
  ASSERT_TRUE(run([&] { return std::ranges::count_if(stored, of_the_user) == 2; }));
  for (const Stored& one : stored) {
    if (!of_the_user(one)) continue;
    EXPECT_EQ(one.info.user, kUser);
    EXPECT_EQ(one.info.tenant, kTenant);
    EXPECT_NE(one.wire.find("s=theirs"), std::string::npos);
    EXPECT_EQ(one.wire.find("s=others"), std::string::npos);
  }
}

TEST_F(SigningTest, AClientThatLeavesWhileItsMessageWaitsHasItStored) {
  key("rsa.pem", "s");
  start_signing();
  Client& client = greeted();
  std::string eight;
  for (int i = 0; i < 8; ++i) eight += mail("a@signed.example");
  client.say(eight);
  ASSERT_TRUE(run([&] { return server->counters().dkim_waiting > 0; }));
  client.reset();
  ASSERT_TRUE(run([&] { return server->idle(); }));
  ASSERT_TRUE(run([&] { return stored.size() == server->counters().dkim_messages; }));
  EXPECT_GT(stored.size(), 0U);
}

TEST_F(SigningTest, ContentThatIsRefusedLeavesNothing) {
  key("rsa.pem", "s");
  start_signing();
  Client& client = greeted();
  client.say(opening() + "From: a@signed.example\r\n\r\nbare\nline\r\n.\r\n");
  ASSERT_TRUE(hears(client, "554 5.6.0"));
  Client& next = greeted();
  next.say(mail("a@signed.example"));
  ASSERT_TRUE(hears(next, "250 2.0.0 Ok: queued as "));
  ASSERT_EQ(stored.size(), 1U);
  EXPECT_EQ(signatures_on(stored[0]), 1U);
}

}  // namespace
}  // namespace ringmta::server
