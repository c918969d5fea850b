// SPDX-License-Identifier: GPL-3.0-or-later
// TLS with clients, in the simulator: what the machine and the disk do must not show through it,
// whatever the network does to records.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "ringmta/tls/session.h"
#include "station.h"

namespace ringmta::server {
namespace {

std::string file(const std::string& name) {
  const char* directory = std::getenv("RINGMTA_CERTIFICATES");
  std::ifstream stream(std::string(directory == nullptr ? "." : directory) + "/" + name);
  std::stringstream text;
  text << stream.rdbuf();
  EXPECT_FALSE(text.str().empty()) << name << ": run this by 'meson test'";
  return text.str();
}

constexpr const char* kTlsPort = "192.0.2.1:465";

// A client of Station with TLS on top, pumped by whoever waits for it.
class TlsClient final {
 public:
  TlsClient(Client& client, const std::shared_ptr<tls::ClientContext>& context)
      : raw(client), session_(context, {"mail.example.com", tls::Verification::full, ""}) {}

  void pump() {
    using Action = tls::Session::Action;
    if (failed) return;
    size_t used = 0;
    const std::string arrived = std::move(raw.heard);
    raw.heard.clear();
    for (bool more = true; more;) {
      const auto step = session_.step(as_bytes(arrived).subspan(used));
      used += step.consumed;
      if (step.action == Action::plaintext) heard += as_text(step.plaintext);
      if (step.action == Action::closed) closed = true;
      failed = step.action == Action::failed;
      more = step.action == Action::plaintext || step.action == Action::handshaken;
    }
    if (session_.handshaken() && !unsaid_.empty()) {
      session_.write(as_bytes(unsaid_));
      unsaid_.clear();
    }
    if (!session_.has_output()) return;
    std::string out;
    session_.take_output(out);
    raw.say(out);
  }
  void say(std::string_view text) {
    unsaid_ += text;
    pump();
  }
  bool handshaken() const { return session_.handshaken(); }
  std::string error() const { return session_.error(); }
  size_t count(std::string_view beginning) const {
    size_t found = 0;
    for (size_t at = 0; at < heard.size(); at = heard.find('\n', at) + 1) {
      found += std::string_view(heard).substr(at).starts_with(beginning) ? 1 : 0;
      if (heard.find('\n', at) == std::string::npos) break;
    }
    return found;
  }

  Client& raw;
  std::string heard;
  bool closed = false;  // by close_notify
  bool failed = false;

 private:
  tls::Session session_;
  std::string unsaid_;
};

class Tls : public Station {
 protected:
  void SetUp() override {
    options.tls.certificates = {{"mail_ecdsa.pem", "mail_ecdsa.key"}};
    options.tls.certificate_texts = {
        {"mail_ecdsa.pem", file("mail_ecdsa.pem"), file("mail_ecdsa.key")}};
    options.tls.listeners = {*parse_socket_address(kTlsPort, 465)};
    tls::ClientOptions wanted;
    wanted.roots_pem = file("root.pem");
    context = *tls::ClientContext::create(wanted);
  }
  void begin() {
    start();
    auto made = make_tls_context(options.tls, server->handshake_budget());
    ASSERT_TRUE(made.has_value());
    tls::TicketKeys keys;
    keys.rotate();
    server->use_ticket_keys(keys);
    server->use_tls(*made);
  }
  TlsClient& implicit(bool reads = true) {
    Client& raw = connect(kClient, reads, kTlsPort);
    return *tls_clients.emplace_back(std::make_unique<TlsClient>(raw, context));
  }
  // Up to the server's "220 Ready", which is read; the handshake begins with the first pump.
  TlsClient& after_starttls(const std::string& behind = "") {
    Client& raw = greeted();
    raw.say("STARTTLS\r\n" + behind);
    EXPECT_TRUE(run([&] { return raw.heard.ends_with("\r\n"); }));
    EXPECT_EQ(raw.count("220 2.0.0"), 1U) << raw.heard;
    raw.heard.clear();
    return *tls_clients.emplace_back(std::make_unique<TlsClient>(raw, context));
  }
  bool pumped(const std::function<bool()>& done, Milliseconds limit = seconds(60)) {
    return run(
        [&] {
          for (const auto& client : tls_clients) client->pump();
          return done();
        },
        limit);
  }
  bool hears_sealed(TlsClient& client, std::string_view text, Milliseconds limit = seconds(60)) {
    const bool heard = pumped([&] { return client.heard.find(text) != std::string::npos; }, limit);
    EXPECT_TRUE(heard) << "waited for \"" << text << "\", heard:\n"
                       << client.heard << client.error();
    return heard;
  }

  std::shared_ptr<tls::ClientContext> context;
  std::vector<std::unique_ptr<TlsClient>> tls_clients;
};

TEST_F(Tls, MailBehindStarttls) {
  begin();
  TlsClient& client = after_starttls();
  client.say("EHLO client.example\r\n" + message("sealed"));
  ASSERT_TRUE(hears_sealed(client, "250 2.0.0 Ok: queued as "));
  EXPECT_EQ(client.heard.find("STARTTLS"), std::string::npos) << client.heard;
  ASSERT_EQ(stored.size(), 1U);
  EXPECT_EQ(stored[0].protocol, "ESMTPS");
  EXPECT_EQ(stored[0].tls_version, "TLSv1.3");
  EXPECT_EQ(stored[0].tls_cipher, "TLS_AES_128_GCM_SHA256");
  EXPECT_NE(stored[0].wire.find(" with ESMTPS id "), std::string::npos) << stored[0].wire;
  EXPECT_NE(stored[0].wire.find("tls TLS_AES_128_GCM_SHA256 (TLSv1.3)"), std::string::npos);
  client.say("QUIT\r\n");
  ASSERT_TRUE(pumped([&] { return client.closed && client.raw.ended; }));
  EXPECT_FALSE(client.raw.broken);
  EXPECT_EQ(server->counters().tls_handshakes, 1U);
  EXPECT_EQ(server->counters().tls_sessions, 1U);
  ASSERT_TRUE(run([&] { return server->idle(); }));
  EXPECT_EQ(server->counters().tls_sessions, 0U);
}

TEST_F(Tls, MailWithTlsFromTheFirstOctet) {
  begin();
  TlsClient& client = implicit();
  ASSERT_TRUE(hears_sealed(client, "220 relay.example"));
  client.say("EHLO client.example\r\n" + message("sealed"));
  ASSERT_TRUE(hears_sealed(client, "250 2.0.0 Ok: queued as "));
  ASSERT_EQ(stored.size(), 1U);
  EXPECT_EQ(stored[0].protocol, "ESMTPS");
}

// The second time the ticket of the first is shown, to a server whose key has been rotated since.
TEST_F(Tls, SessionsAreResumed) {
  begin();
  for (int i = 0; i < 3; ++i) {
    TlsClient& client = implicit();
    ASSERT_TRUE(hears_sealed(client, "220 relay.example"));
    client.say("QUIT\r\n");
    ASSERT_TRUE(pumped([&] { return client.closed; }));
  }
  EXPECT_EQ(server->counters().tls_resumed, 2U);
}

TEST_F(Tls, WhoTalksBeforeTheBannerIsRefused) {
  begin();
  TlsClient& client = implicit();
  client.say("EHLO client.example\r\n");  // goes with the end of the handshake
  ASSERT_TRUE(pumped([&] { return client.closed; }));
  EXPECT_TRUE(client.heard.starts_with("554 5.5.1")) << client.heard;
}

// As it is stored in the clear: octet by octet the same, but for the trace lines.
TEST_F(Tls, ContentsAreStoredAsTheyCame) {
  world.network().segment_octets_max = 700;
  begin();
  const std::string content = big_content(300'000);
  Client& clear = greeted();
  clear.say(opening() + content);
  ASSERT_TRUE(hears(clear, "250 2.0.0 Ok: queued as "));
  TlsClient& client = after_starttls();
  client.say("EHLO client.example\r\n" + opening() + content);
  ASSERT_TRUE(hears_sealed(client, "250 2.0.0 Ok: queued as "));
  ASSERT_EQ(stored.size(), 2U);
  const auto body = [](const std::string& wire) { return wire.substr(wire.find("Subject: big")); };
  EXPECT_EQ(body(stored[0].wire), body(stored[1].wire));
}

TEST_F(Tls, OctetByOctet) {
  world.network().segment_octets_max = 1;
  begin();
  TlsClient& client = after_starttls();
  client.say("EHLO client.example\r\n" + message("one by one") + "QUIT\r\n");
  ASSERT_TRUE(pumped([&] { return client.closed; })) << client.error() << client.heard;
  EXPECT_EQ(client.count("250 2.0.0 Ok: queued as "), 1U) << client.heard;
  EXPECT_EQ(client.count("221 "), 1U);
}

TEST_F(Tls, WhatIsSaidBehindStarttlsIsForgotten) {
  begin();
  TlsClient& client = after_starttls("EHLO injected.example\r\nMAIL FROM:<x@injected.example>\r\n");
  client.say("RCPT TO:<b@two.example>\r\nNOOP\r\n");
  ASSERT_TRUE(hears_sealed(client, "250 2.0.0 Ok"));
  EXPECT_EQ(client.heard.substr(0, 3), "503") << client.heard;
  EXPECT_EQ(client.heard.find("injected"), std::string::npos);
  EXPECT_EQ(client.count("250 "), 1U) << client.heard;
}

// STARTTLS is answered when the messages before it have been.
TEST_F(Tls, StarttlsWaitsForTheDisk) {
  begin();
  Client& raw = greeted();
  disk_takes(seconds(5));
  raw.say(message("before") + "STARTTLS\r\n");
  ASSERT_TRUE(hears(raw, "220 2.0.0"));
  EXPECT_EQ(raw.count("250 2.0.0 Ok: queued as "), 1U) << raw.heard;
  EXPECT_TRUE(raw.replies().back().starts_with("220 2.0.0"));
  raw.heard.clear();
  disk_takes(Milliseconds{1});
  TlsClient& client = *tls_clients.emplace_back(std::make_unique<TlsClient>(raw, context));
  client.say("EHLO client.example\r\n" + message("behind"));
  ASSERT_TRUE(hears_sealed(client, "250 2.0.0 Ok: queued as "));
  ASSERT_EQ(stored.size(), 2U);
  EXPECT_EQ(stored[0].protocol, "ESMTP");
  EXPECT_EQ(stored[1].protocol, "ESMTPS");
}

// Records hold more than the machine takes while the disk is slow.
TEST_F(Tls, RepliesKeepTheirOrderBehindASlowDisk) {
  begin();
  TlsClient& client = implicit();
  ASSERT_TRUE(hears_sealed(client, "220 relay.example"));
  disk_takes(Milliseconds{200});
  std::string said = "EHLO client.example\r\n";
  for (int i = 0; i < 40; ++i) said += message("number " + std::to_string(i));
  for (int i = 0; i < 3'000; ++i) said += "NOOP\r\n";
  client.heard.clear();
  client.say(said + "QUIT\r\n");
  ASSERT_TRUE(pumped([&] { return client.closed; }));
  EXPECT_EQ(client.count("250 2.0.0 Ok: queued as "), 40U);
  EXPECT_EQ(client.count("250 2.0.0 Ok"), 3'040U);
  EXPECT_EQ(client.count("221 "), 1U);
  ASSERT_EQ(stored.size(), 40U);
  for (size_t i = 0; i < 40; ++i) {
    EXPECT_NE(stored[i].wire.find("Subject: number " + std::to_string(i) + "\r\n"),
              std::string::npos);
  }
}

// ---- handshakes: how many, how long

TEST_F(Tls, ATurnDoesItsShareOfHandshakesAndTheMailOfOthersGoesOn) {
  constexpr uint32_t kAtOnce = 3;
  options.tls.handshakes_per_turn = kAtOnce;
  begin();
  Client& clear = greeted();
  for (int i = 0; i < 60; ++i) implicit();
  ASSERT_TRUE(run([&] { return server->counters().sessions == 61; }));
  world.run_for(seconds(1));
  for (const auto& client : tls_clients) client->pump();  // all first flights
  clear.say("NOOP\r\n");
  // Each server's flight is one write, and the reply in the clear is one.
  uint64_t sends = io->counters().sends;
  uint64_t turn = io->counters().turns;
  const auto flights = [&] {
    return std::ranges::count_if(tls_clients,
                                 [](const auto& client) { return !client->raw.heard.empty(); });
  };
  while (flights() < 60) {
    ASSERT_TRUE(run([&] { return io->counters().turns != turn || flights() == 60; }));
    EXPECT_LE(io->counters().sends - sends, kAtOnce + 1);
    sends = io->counters().sends;
    turn = io->counters().turns;
  }
  EXPECT_EQ(clear.count("250 2.0.0 Ok"), 1U);
  EXPECT_EQ(server->counters().tls_handshakes, 0U);
  uint64_t before = 0;
  turn = io->counters().turns;
  bool all = false;
  while (!all) {
    all = pumped([&] { return io->counters().turns != turn; });
    ASSERT_TRUE(all);
    const uint64_t now = server->counters().tls_handshakes;
    EXPECT_LE(now - before, kAtOnce * (io->counters().turns - turn));
    before = now;
    turn = io->counters().turns;
    all = now == tls_clients.size();
  }
}

TEST_F(Tls, AHandshakeHasItsTimeHoweverBusyItIs) {
  options.timeouts.handshake = seconds(20);
  begin();
  Client& silent = connect(kClient, true, kTlsPort);
  Client& slow = connect(kClient, true, kTlsPort);
  ASSERT_TRUE(run([&] { return slow.connected && silent.connected; }));
  slow.say(std::string_view("\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03", 11));
  const Monotonic begun = world.now();
  while (!slow.ended && (world.now() - begun).count < 60'000) {
    slow.say("x");
    world.run_for(seconds(1));
  }
  EXPECT_TRUE(slow.ended && silent.ended);
  EXPECT_LT((world.now() - begun).count, 25'000);
  EXPECT_EQ(server->counters().tls_timeouts, 2U);
  EXPECT_TRUE(slow.heard.empty() && silent.heard.empty());
  ASSERT_TRUE(run([&] { return server->idle(); }, seconds(5)));
}

TEST_F(Tls, WhoDoesNotSpeakTlsGetsNoWordInTheClear) {
  begin();
  Client& raw = greeted();
  raw.say("STARTTLS\r\n");
  ASSERT_TRUE(hears(raw, "220 2.0.0"));
  raw.heard.clear();
  raw.say("EHLO again.example\r\nMAIL FROM:<a@one.example>\r\n");
  ASSERT_TRUE(gone(raw));
  EXPECT_EQ(raw.heard.find("250"), std::string::npos) << raw.heard;
  EXPECT_EQ(server->counters().tls_failures, 1U);
}

// ---- ends

TEST_F(Tls, ARefusedClientIsCutOff) {
  options.sessions_max = 1;
  begin();
  greeted();
  Client& second = connect(kClient, true, kTlsPort);
  ASSERT_TRUE(gone(second, seconds(1)));
  EXPECT_TRUE(second.heard.empty());
}

TEST_F(Tls, StopIsToldUnderTls) {
  begin();
  TlsClient& client = implicit();
  ASSERT_TRUE(hears_sealed(client, "220 relay.example"));
  Client& halfway = connect(kClient, true, kTlsPort);
  ASSERT_TRUE(run([&] { return server->counters().sessions == 2; }));
  server->stop();
  ASSERT_TRUE(hears_sealed(client, "421 4.3.2"));
  ASSERT_TRUE(pumped([&] { return client.closed; }));
  ASSERT_TRUE(gone(halfway, seconds(5)));
  EXPECT_TRUE(halfway.heard.empty());
}

TEST_F(Tls, AbortIsToldUnderTlsAndClosesIt) {
  begin();
  TlsClient& client = implicit();
  ASSERT_TRUE(hears_sealed(client, "220 relay.example"));
  client.say("EHLO client.example\r\n" + opening());
  ASSERT_TRUE(pumped([&] { return client.count("354") == 1; })) << client.error();
  client.say("Subject: never ended\r\n");
  ASSERT_TRUE(pumped([&] { return client.raw.unsaid() == 0; }));
  server->stop();
  world.run_for(seconds(1));
  EXPECT_FALSE(client.closed);
  server->abort_all();
  ASSERT_TRUE(pumped([&] { return client.raw.ended && server->idle(); }, seconds(1)));
  EXPECT_EQ(client.count("421 4.3.2 relay.example"), 1U) << client.heard;
  EXPECT_TRUE(client.closed);
  EXPECT_FALSE(client.failed);
}

TEST_F(Tls, AResetAtAnyPointLeavesNothingBehind) {
  begin();
  const SocketAddress address = options.tls.listeners[0];
  const std::string said =
      "EHLO client.example\r\n" + message("small") + opening() + big_content(120'000);
  for (size_t octets = 1; octets < 125'000; octets += 1 + world.random() % (octets / 8 + 60)) {
    disk_takes(Milliseconds{world.random() % 4 == 0 ? 200 : 1});
    world.reset_after(address, octets);
    TlsClient& client = implicit();
    pumped([&] { return client.heard.starts_with("220") || client.raw.ended; }, seconds(5));
    client.say(said);
    ASSERT_TRUE(pumped([&] { return client.raw.ended && server->idle(); }, minutes(6))) << octets;
    ASSERT_TRUE(run([&] { return spool->idle(); }));
    EXPECT_LE(stored.size(), 2U);
    EXPECT_EQ(server->counters().sessions, 0U);
    EXPECT_EQ(server->counters().tls_sessions, 0U);
    finish_all();
    ASSERT_TRUE(run([&] { return memory() <= 262'144U; }, seconds(30))) << octets;
    tls_clients.clear();
    clients.clear();
  }
}

TEST_F(Tls, AClientThatTakesNoRepliesIsDropped) {
  options.timeouts.idle = minutes(10);
  options.timeouts.reply = seconds(40);
  begin();
  TlsClient& client = implicit();
  ASSERT_TRUE(hears_sealed(client, "220 relay.example"));
  world.network().window_octets = 2'000;
  client.raw.stop_reading();
  std::string said = "EHLO client.example\r\n";
  for (int i = 0; i < 1'000; ++i) said += "HELP\r\n";
  client.say(said);
  world.run_for(seconds(30));
  EXPECT_FALSE(server->idle());
  ASSERT_TRUE(run([&] { return server->idle(); }, seconds(20)));
}

}  // namespace
}  // namespace ringmta::server
