// SPDX-License-Identifier: GPL-3.0-or-later
// Sessions against each other, however the octets arrive.
#include "ringmta/tls/session.h"

#include <gtest/gtest.h>

#include "conversation.h"
#include "ringmta/base/prng.h"

namespace ringmta::tls {
namespace {

constexpr Peer kMail{.name = "mail.example.com", .verification = Verification::full, .scope = ""};

TEST(Session, HandshakeAndPlaintextBothWays) {
  for (const char* certificate : {"mail_rsa", "mail_ecdsa"}) {
    Conversation talk(server_context({certificate}), client_context(), kMail);
    talk.run();
    talk.expect_open();
    talk.send(talk.client, "EHLO client\r\n");
    talk.send(talk.server, "250 hello\r\n");
    EXPECT_EQ(talk.server.plaintext, "EHLO client\r\n");
    EXPECT_EQ(talk.client.plaintext, "250 hello\r\n");
    EXPECT_EQ(talk.client.session.facts().version, "TLSv1.3");
    EXPECT_EQ(talk.client.session.facts().cipher, "TLS_AES_128_GCM_SHA256");
    EXPECT_TRUE(talk.client.session.facts().verified);
    EXPECT_FALSE(talk.client.session.facts().resumed);
    EXPECT_EQ(talk.server.session.facts().server_name, "mail.example.com");
    EXPECT_FALSE(talk.server.session.facts().verified);
    EXPECT_EQ(talk.server.session.facts().peer_fingerprint, "");
  }
}

TEST(Session, EveryCutOfBothStreams) {
  const auto server = server_context({"mail_ecdsa"});
  const auto client = client_context();
  size_t to_server = 2;
  size_t to_client = 2;
  for (size_t cut = 1; cut < std::max(to_server, to_client); ++cut) {
    Conversation talk(server, client, kMail);
    const auto at_cut = [cut](size_t arrived) { return arrived < cut ? cut - arrived : 0; };
    talk.server_piece = talk.client_piece = at_cut;
    talk.run();
    talk.send(talk.client, "client");
    talk.send(talk.server, "server");
    ASSERT_EQ(talk.server.plaintext, "client") << cut << ": " << talk.server.session.error();
    ASSERT_EQ(talk.client.plaintext, "server") << cut << ": " << talk.client.session.error();
    to_server = talk.sent_to_server;
    to_client = talk.sent_to_client;
  }
  EXPECT_GT(to_client, 500u);
}

TEST(Session, OctetByOctetAndInRandomPieces) {
  Prng random(3);
  const auto server = server_context({"mail_rsa"});
  const auto client = client_context();
  for (const uint64_t most : {1u, 2u, 9u, 300u, 5000u}) {
    Conversation talk(server, client, kMail);
    talk.server_piece = talk.client_piece = [&](size_t) { return 1 + random.below(most); };
    talk.run();
    talk.expect_open();
    const std::string text(most == 1 ? 3000 : 100'000, 'x');
    talk.send(talk.client, text);
    talk.send(talk.server, text);
    EXPECT_EQ(talk.server.plaintext, text);
    EXPECT_EQ(talk.client.plaintext, text);
  }
}

TEST(Session, PiecesShareRecordsAndBigOnesAreCut) {
  Conversation talk(server_context({"mail_ecdsa"}), client_context(), kMail);
  talk.run();
  std::string mail = "MAIL FROM:<>\r\n";
  std::string body(40'000, 'b');
  std::string dot = "\r\n.\r\n";
  const iovec pieces[] = {
      {mail.data(), mail.size()}, {body.data(), body.size()}, {dot.data(), dot.size()}};
  ASSERT_TRUE(talk.client.session.write(pieces));
  std::string sealed;
  talk.client.session.take_output(sealed);
  size_t records = 0;
  for (size_t at = 0; at < sealed.size(); ++records) {
    at += 5 + (static_cast<uint8_t>(sealed[at + 3]) << 8 | static_cast<uint8_t>(sealed[at + 4]));
  }
  EXPECT_EQ(records, 3u);
  talk.to_server += sealed;
  talk.run();
  EXPECT_EQ(talk.server.plaintext, mail + body + dot);
}

TEST(Session, SizesAroundARecord) {
  Conversation talk(server_context({"mail_ecdsa"}), client_context(), kMail);
  talk.run();
  for (const size_t size : {1u, 16'383u, 16'384u, 16'385u, 32'768u, 32'769u}) {
    const std::string text(size, 'y');
    talk.server.plaintext.clear();
    talk.send(talk.client, text);
    EXPECT_EQ(talk.server.plaintext, text);
  }
  ASSERT_TRUE(talk.client.session.write(Bytes{}));
  EXPECT_FALSE(talk.client.session.has_output());
}

TEST(Session, WhatIsGivenBackComesAgain) {
  Conversation talk(server_context({"mail_ecdsa"}), client_context(), kMail);
  talk.run();
  ASSERT_TRUE(talk.client.session.write(as_bytes("one\r\ntwo\r\n")));
  ASSERT_TRUE(talk.client.session.write(as_bytes("three\r\n")));
  std::string sealed;
  talk.client.session.take_output(sealed);
  Bytes input = as_bytes(sealed);
  Session& server = talk.server.session;
  auto step = server.step(input);
  input = input.subspan(step.consumed);
  ASSERT_EQ(as_text(step.plaintext), "one\r\ntwo\r\n");
  server.unread(step.plaintext.subspan(5));
  step = server.step(input);
  EXPECT_EQ(step.consumed, 0u);
  ASSERT_EQ(as_text(step.plaintext), "two\r\n");
  server.unread(step.plaintext.subspan(1));
  step = server.step({});
  ASSERT_EQ(as_text(step.plaintext), "wo\r\n");
  step = server.step(input);
  ASSERT_EQ(as_text(step.plaintext), "three\r\n");
  EXPECT_EQ(step.consumed, input.size());
  EXPECT_EQ(server.step({}).action, Session::Action::more);
}

TEST(Session, AnEndThatWasMeant) {
  Conversation talk(server_context({"mail_ecdsa"}), client_context(), kMail);
  talk.run();
  ASSERT_TRUE(talk.client.session.write(as_bytes("QUIT\r\n")));
  talk.client.session.close();
  talk.client.session.close();
  talk.run();
  EXPECT_EQ(talk.server.plaintext, "QUIT\r\n");
  EXPECT_TRUE(talk.server.closed);
  EXPECT_TRUE(talk.server.session.ended_cleanly());
  // The other direction is still open (RFC 8446 6.1).
  talk.send(talk.server, "221 bye\r\n");
  EXPECT_EQ(talk.client.plaintext, "221 bye\r\n");
  EXPECT_FALSE(talk.client.session.ended_cleanly());
  talk.server.session.close();
  talk.run();
  EXPECT_TRUE(talk.client.session.ended_cleanly());
}

TEST(Session, ATruncatedStreamIsSeen) {
  Conversation talk(server_context({"mail_ecdsa"}), client_context(), kMail);
  talk.run();
  talk.send(talk.client, "DATA\r\n");
  EXPECT_FALSE(talk.server.session.ended_cleanly());
}

TEST(Session, AChangedOctetFails) {
  for (size_t at = 0; at < 60; ++at) {
    Conversation talk(server_context({"mail_ecdsa"}), client_context(), kMail);
    talk.run();
    ASSERT_TRUE(talk.client.session.write(as_bytes(std::string(40, 'z'))));
    talk.client.session.take_output(talk.to_server);
    if (at >= talk.to_server.size()) break;
    // A length that grew just waits for more.
    if (at == 3 || at == 4) continue;
    talk.to_server[at] ^= 0x20;
    talk.run();
    EXPECT_EQ(talk.server.plaintext, "") << at;
    EXPECT_TRUE(talk.server.failed) << at;
    EXPECT_FALSE(talk.server.session.error().empty());
    EXPECT_FALSE(talk.server.session.write(as_bytes("x")));
    if (at < 5) continue;  // for what is not a record there is no alert
    EXPECT_TRUE(talk.client.failed) << at;
    EXPECT_NE(talk.client.session.error().find("alert bad_record_mac"), std::string::npos)
        << talk.client.session.error();
  }
}

TEST(Session, AClientThatDoesNotSpeakTls) {
  Side server(Session(server_context({"mail_ecdsa"})));
  server.waiting = "EHLO client.example.com\r\n";
  server.run();
  EXPECT_TRUE(server.failed);
  EXPECT_NE(server.session.error().find("does not speak TLS"), std::string::npos)
      << server.session.error();
  EXPECT_EQ(server.session.step({}).action, Session::Action::failed);
}

TEST(Session, AServerThatDoesNotSpeakTls) {
  Side client(Session(client_context(), kMail));
  client.run();
  client.waiting = "220 mail.example.com ESMTP\r\n";
  client.run();
  EXPECT_TRUE(client.failed);
  EXPECT_NE(client.session.error().find("does not speak TLS"), std::string::npos)
      << client.session.error();
}

TEST(Session, RandomOctetsNeverDoMoreThanFail) {
  Prng random(5);
  const auto server_with = server_context({"mail_ecdsa"});
  const auto client_with = client_context();
  for (int round = 0; round < 300; ++round) {
    Side side = round % 2 == 0 ? Side(Session(server_with)) : Side(Session(client_with, kMail));
    side.run();
    side.waiting = std::string("\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03", 11);
    if (round % 3 == 0) side.waiting.clear();
    const size_t size = random.below(700);
    for (size_t i = 0; i < size; ++i) side.waiting.push_back(static_cast<char>(random.next()));
    side.run();
    EXPECT_FALSE(side.session.handshaken());
  }
}

// Octets of a real handshake, one of them changed at a time.
TEST(Session, ChangedHandshakesNeverDoMoreThanFail) {
  const auto server_with = server_context({"mail_ecdsa"});
  const auto client_with = client_context();
  size_t failures = 0;
  for (size_t at = 0; at < 1500; at += 3) {
    Conversation talk(server_with, client_with, kMail);
    size_t seen = 0;
    talk.client_piece = [&](size_t arrived) {
      if (at >= arrived && at - arrived < talk.to_client.size() && seen == 0) {
        talk.to_client[at - arrived] ^= static_cast<char>(1 << at % 8);
        seen = 1;
      }
      return 0;
    };
    talk.run();
    failures += talk.client.failed || !talk.client.session.handshaken() ||
                !talk.server.session.handshaken();
  }
  EXPECT_GT(failures, 200u);
}

TEST(Session, BudgetIsPerTurn) {
  HandshakeBudget budget{.left = 0};
  ServerOptions options;
  options.certificates = {certificate_text("mail_ecdsa")};
  options.budget = &budget;
  Conversation talk(server_context(options), client_context(), kMail);
  talk.run();
  EXPECT_EQ(talk.server.yields, 1u);
  EXPECT_FALSE(talk.server.session.handshaken());
  EXPECT_FALSE(talk.server.session.has_output());
  budget.left = 1;  // the server's flight
  talk.server.run();
  EXPECT_EQ(budget.left, 0u);
  EXPECT_TRUE(talk.server.session.has_output());
  talk.run();
  EXPECT_TRUE(talk.client.session.handshaken());
  EXPECT_FALSE(talk.server.session.handshaken());
  budget.left = 1;
  talk.server.run();
  talk.run();
  talk.expect_open();
  EXPECT_EQ(budget.left, 0u);
  talk.send(talk.client, "needs no budget");
  EXPECT_EQ(talk.server.plaintext, "needs no budget");
}

TEST(Session, OutlivesItsContextsOwner) {
  auto server = server_context({"mail_ecdsa"});
  auto client = client_context();
  Conversation talk(server, client, kMail);
  server.reset();
  client.reset();
  talk.run();
  talk.send(talk.client, "still there");
  EXPECT_EQ(talk.server.plaintext, "still there");
}

TEST(Session, ExporterIsTheSameForEachAndDiffersBetweenSessions) {
  const auto server = server_context({"mail_ecdsa"});
  std::array<std::byte, 32> last{};
  for (int i = 0; i < 2; ++i) {
    Conversation talk(server, client_context(), kMail);
    talk.run();
    ASSERT_TRUE(talk.server.session.facts().has_exporter);
    EXPECT_NE(talk.server.session.facts().exporter, last);
    last = talk.server.session.facts().exporter;
  }
}

}  // namespace
}  // namespace ringmta::tls
