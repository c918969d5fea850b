// SPDX-License-Identifier: GPL-3.0-or-later
// Who is accepted as whom: verification by clients, certificates by name, client certificates,
// resumption.
#include <gtest/gtest.h>

#include "../../src/tls/context_impl.h"
#include "conversation.h"

namespace ringmta::tls {
namespace {

Peer full(std::string_view name) {
  return {.name = name, .verification = Verification::full, .scope = ""};
}

// The client's reason not to speak to a server with this certificate; empty: it does.
std::string refusal(const std::string& certificate, std::string_view name = "mail.example.com") {
  Conversation talk(server_context({certificate}), client_context(), full(name));
  talk.run();
  EXPECT_EQ(talk.client.failed, !talk.client.session.handshaken());
  EXPECT_EQ(talk.client.failed, !talk.server.session.handshaken());
  if (!talk.client.failed) return "";
  EXPECT_FALSE(talk.client.session.facts().verified);
  return talk.client.session.error();
}

void expect_refusal(const std::string& certificate, std::string_view words,
                    std::string_view name = "mail.example.com") {
  const std::string got = refusal(certificate, name);
  EXPECT_NE(got.find(words), std::string::npos) << certificate << ": '" << got << "'";
}

TEST(Verification, Accepts) {
  EXPECT_EQ(refusal("mail_rsa"), "");
  EXPECT_EQ(refusal("mail_ecdsa"), "");
  EXPECT_EQ(refusal("mail_ecdsa", "MAIL.example.com."), "");
  EXPECT_EQ(refusal("mail_ecdsa", "mx1.wild.example.com"), "");
  EXPECT_EQ(refusal("mail_ecdsa", "127.0.0.1"), "");
}

TEST(Verification, Refuses) {
  expect_refusal("expired", "expired");
  expect_refusal("future", "not valid yet");
  expect_refusal("self_signed", "self-signed");
  expect_refusal("unknown_root", "not issued by a trusted authority");
  expect_refusal("unknown_chain", "not issued by a trusted authority");
  expect_refusal("weak_key", "too weak");
  expect_refusal("weak_issuer", "too weak");
  expect_refusal("weak_hash", "broken hash");
  expect_refusal("for_clients", "its certificate is for another purpose");
  expect_refusal("no_names", "not for the name 'mail.example.com'");
  expect_refusal("other_rsa", "not for the name 'mail.example.com'");
  expect_refusal("mail_ecdsa", "not for the name", "a.b.wild.example.com");
  expect_refusal("mail_ecdsa", "not for the name", "wild.example.com");
  expect_refusal("mail_ecdsa", "not for the name", "127.0.0.2");
  expect_refusal("mail_rsa", "not for the name", "127.0.0.1");
}

TEST(Verification, NoneTakesAnyCertificate) {
  for (const char* certificate : {"expired", "future", "self_signed", "unknown_root", "weak_key",
                                  "weak_hash", "no_names", "other_rsa"}) {
    Conversation talk(server_context({certificate}), client_context());
    talk.run();
    talk.send(talk.client, "encrypted all the same");
    EXPECT_EQ(talk.server.plaintext, "encrypted all the same") << talk.client.session.error();
    EXPECT_FALSE(talk.client.session.facts().verified);
  }
}

// What an unverified peer showed must not count for the next verified one.
TEST(Verification, NothingIsLearntFromUnverifiedPeers) {
  const auto client = client_context();
  for (const char* name : {"unknown_chain", "expired_chain", "expired_issuer"}) {
    for (int round = 0; round < 2; ++round) {
      Conversation unverified(server_context({name}), client);
      unverified.run();
      unverified.expect_open();
      Conversation verified(server_context({name}), client, full("mail.example.com"));
      verified.run();
      EXPECT_TRUE(verified.client.failed) << name;
    }
  }
}

TEST(Verification, NeedsRoots) {
  Conversation talk(server_context({"mail_rsa"}), client_context(ClientOptions{}),
                    full("mail.example.com"));
  talk.run();
  EXPECT_TRUE(talk.client.failed);
  EXPECT_NE(talk.client.session.error().find("no root certificates"), std::string::npos);
}

TEST(Certificates, AreChosenByName) {
  const auto server = server_context({"mail_rsa", "other_rsa", "mail_ecdsa"});
  const auto client = client_context();
  for (const char* name : {"mail.example.com", "other.example.net", "x.wild.example.com"}) {
    Conversation talk(server, client, full(name));
    talk.run();
    talk.expect_open();
    EXPECT_EQ(talk.server.session.facts().server_name, name);
  }
  // An unknown name gets what clients without a name get; an unverified client goes on.
  Conversation talk(server, client, {.name = "unknown.example.org", .scope = ""});
  talk.run();
  talk.expect_open();
}

TEST(ClientCertificates, FingerprintAndVerification) {
  const auto talk_of = [](const std::string& roots, const std::string& certificate) {
    ServerOptions server;
    server.certificates = {certificate_text("mail_ecdsa")};
    server.ask_client_certificate = true;
    if (!roots.empty()) server.client_roots_pem = text_of(roots + ".pem");
    ClientOptions client;
    if (!certificate.empty()) client.certificate = certificate_text(certificate);
    auto talk = std::make_unique<Conversation>(server_context(server), client_context(client));
    talk->run();
    talk->expect_open();
    return talk;
  };
  const auto verified = talk_of("root", "client");
  EXPECT_TRUE(verified->server.session.facts().verified);
  const std::string known(verified->server.session.facts().peer_fingerprint);
  EXPECT_EQ(known.size(), 64u);

  const auto without_roots = talk_of("", "client");
  EXPECT_FALSE(without_roots->server.session.facts().verified);
  EXPECT_EQ(without_roots->server.session.facts().peer_fingerprint, known);

  for (const char* name : {"self_signed", "unknown_root", "expired", "weak_key", "weak_hash",
                           "weak_issuer", "for_servers"}) {
    const auto other = talk_of("root", name);
    EXPECT_FALSE(other->server.session.facts().verified) << name;
    EXPECT_EQ(other->server.session.facts().peer_fingerprint.size(), 64u) << name;
    EXPECT_NE(other->server.session.facts().peer_fingerprint, known) << name;
  }

  // An issuer that came with a certificate never becomes a root for the next one.
  ServerOptions options;
  options.certificates = {certificate_text("mail_ecdsa")};
  options.ask_client_certificate = true;
  options.client_roots_pem = text_of("root.pem");
  const auto server = server_context(options);
  for (const char* name : {"unknown_chain", "unknown_chain", "unknown_root", "expired_chain",
                           "expired_chain", "expired_issuer", "expired_issuer"}) {
    ClientOptions client;
    client.certificate = certificate_text(name);
    Conversation talk(server, client_context(client));
    talk.run();
    EXPECT_FALSE(talk.server.session.facts().verified) << name;
  }

  const auto none = talk_of("root", "");
  EXPECT_FALSE(none->server.session.facts().verified);
  EXPECT_EQ(none->server.session.facts().peer_fingerprint, "");
}

// What is asked of clients' keys is not asked of the server's own.
TEST(ClientCertificates, AServerWithAWeakKeyLetsThemIn) {
  ServerOptions options;
  options.certificates = {certificate_text("weak_key")};
  options.ask_client_certificate = true;
  options.client_roots_pem = text_of("root.pem");
  ClientOptions client;
  client.certificate = certificate_text("client");
  Conversation talk(server_context(options), client_context(client));
  talk.run();
  talk.expect_open();
  EXPECT_TRUE(talk.server.session.facts().verified);
}

struct Resuming {
  TicketKeys keys;
  std::shared_ptr<ServerContext> server = server_context({"mail_rsa"});
  std::shared_ptr<ClientContext> client = client_context();

  Resuming() { rotate(); }
  void rotate() {
    keys.rotate();
    server->set_ticket_keys(keys);
  }
  bool resumed(const Peer& peer = full("mail.example.com")) {
    Conversation talk(server, client, peer);
    talk.run();
    talk.expect_open();
    talk.send(talk.client, "x");
    talk.send(talk.server, "y");
    EXPECT_EQ(talk.client.plaintext, "y");
    EXPECT_EQ(talk.client.session.facts().resumed, talk.server.session.facts().resumed);
    return talk.client.session.facts().resumed;
  }
};

TEST(Resumption, SecondConnectionResumes) {
  Resuming world;
  EXPECT_FALSE(world.resumed());
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(world.resumed()) << i;
}

TEST(Resumption, AtAnotherShard) {
  Resuming world;
  EXPECT_FALSE(world.resumed());
  world.server = server_context({"mail_rsa"});
  world.server->set_ticket_keys(world.keys);
  EXPECT_TRUE(world.resumed());
  // A shard with other keys does not open it, and nothing breaks.
  world.server = server_context({"mail_rsa"});
  TicketKeys other;
  other.rotate();
  world.server->set_ticket_keys(other);
  EXPECT_FALSE(world.resumed());
  EXPECT_TRUE(world.resumed());
}

TEST(Resumption, KeysAreKeptForTwoRotations) {
  {
    Resuming world;
    EXPECT_FALSE(world.resumed());
    for (size_t i = 1; i < TicketKeys::kKept; ++i) world.rotate();
    EXPECT_TRUE(world.resumed());
  }
  {
    Resuming world;
    EXPECT_FALSE(world.resumed());
    for (size_t i = 0; i < TicketKeys::kKept; ++i) world.rotate();
    EXPECT_FALSE(world.resumed());
  }
  {  // Using an old ticket brings a new one.
    Resuming world;
    EXPECT_FALSE(world.resumed());
    for (int i = 0; i < 6; ++i) {
      world.rotate();
      EXPECT_TRUE(world.resumed()) << i;
    }
  }
}

TEST(Resumption, NotWithoutKeys) {
  Resuming world;
  world.server->set_ticket_keys(TicketKeys());
  EXPECT_FALSE(world.resumed());
  EXPECT_FALSE(world.resumed());
}

TEST(Resumption, AnUnverifiedSessionDoesNotBecomeAVerifiedOne) {
  Resuming world;
  EXPECT_FALSE(world.resumed({.name = "mail.example.com", .scope = ""}));
  EXPECT_TRUE(world.resumed({.name = "mail.example.com", .scope = ""}));
  EXPECT_FALSE(world.resumed());
  EXPECT_TRUE(world.resumed());
}

TEST(Resumption, NamesAndScopesAreApart) {
  Resuming world;
  world.server = server_context({"mail_ecdsa"});
  world.rotate();
  EXPECT_FALSE(world.resumed());
  EXPECT_FALSE(world.resumed(full("a.wild.example.com")));
  EXPECT_FALSE(world.resumed(
      {.name = "mail.example.com", .verification = Verification::full, .scope = "b"}));
  EXPECT_TRUE(world.resumed());
}

// RFC 6066 3. (A client of ours never does this; its memory is made to.)
TEST(Resumption, ATicketIsForOneServerName) {
  Resuming world;
  world.server = server_context({"mail_rsa", "other_rsa"});
  world.rotate();
  const auto peer = [](std::string_view name) { return Peer{.name = name, .scope = ""}; };
  EXPECT_FALSE(world.resumed(peer("mail.example.com")));
  SessionCache& sessions = world.client->impl().sessions;
  const auto offer_to = [&](const std::string& name) {
    WOLFSSL_SESSION* session = sessions.find("none\nmail.example.com\n");
    ASSERT_NE(session, nullptr);
    ASSERT_EQ(wolfSSL_SESSION_up_ref(session), WOLFSSL_SUCCESS);
    sessions.put("none\n" + name + "\n", session);
  };
  // Neither where another certificate is shown nor where it would be the same one.
  for (const char* name : {"other.example.net", "unknown.example.org"}) {
    offer_to(name);
    EXPECT_FALSE(world.resumed(peer(name))) << name;
    EXPECT_TRUE(world.resumed(peer(name))) << name << ", with its own";
  }
  offer_to("MAIL.example.com");  // names have no case
  EXPECT_TRUE(world.resumed(peer("MAIL.example.com")));
}

TEST(Resumption, NotOfWhatWasForgotten) {
  Resuming world;
  EXPECT_FALSE(world.resumed());
  Conversation talk(world.server, world.client, full("mail.example.com"));
  talk.client.run();
  EXPECT_TRUE(talk.client.session.resumes()) << "it is offered";
  talk.run();
  talk.expect_open();
  EXPECT_TRUE(talk.client.session.resumes());
  talk.client.session.forget();
  talk.send(talk.server, "y");  // behind its ticket
  EXPECT_FALSE(world.resumed());
  Conversation other(world.server, world.client, {.name = "other.example.net", .scope = ""});
  other.run();
  EXPECT_FALSE(other.client.session.resumes());
}

TEST(Resumption, RemembersABoundedNumberOfPeers) {
  Resuming world;
  ClientOptions options;
  options.sessions_max = 2;
  world.client = client_context(options);
  const auto peer = [](std::string_view name) { return Peer{.name = name, .scope = ""}; };
  EXPECT_FALSE(world.resumed(peer("a.example.com")));
  EXPECT_FALSE(world.resumed(peer("b.example.com")));
  EXPECT_TRUE(world.resumed(peer("a.example.com")));
  EXPECT_FALSE(world.resumed(peer("c.example.com")));  // b goes
  EXPECT_TRUE(world.resumed(peer("a.example.com")));
  EXPECT_FALSE(world.resumed(peer("b.example.com")));
}

TEST(Resumption, NotWhereAClientCertificateIsAskedFor) {
  Resuming world;
  ServerOptions options;
  options.certificates = {certificate_text("mail_rsa")};
  options.ask_client_certificate = true;
  world.server = server_context(options);
  world.server->set_ticket_keys(world.keys);
  EXPECT_FALSE(world.resumed());
  EXPECT_FALSE(world.resumed());
}

TEST(Contexts, ErrorsSayWhatIsWrong) {
  const auto error_of = [](CertificateText text) {
    ServerOptions options;
    options.certificates = {std::move(text)};
    auto context = ServerContext::create(options);
    EXPECT_FALSE(context);
    return context ? "" : context.error().message;
  };
  EXPECT_NE(error_of({"x.pem", "", ""}).find("x.pem: there is no certificate"), std::string::npos);
  EXPECT_NE(error_of({"x.pem", text_of("mail_rsa.pem"), ""}).find("private key cannot be read"),
            std::string::npos);
  EXPECT_NE(error_of({"x.pem", text_of("mail_rsa.pem"), text_of("other_rsa.key")})
                .find("does not belong to the certificate"),
            std::string::npos);
  EXPECT_NE(
      error_of(
          {"x.pem", text_of("mail_rsa.pem"),
           "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"})
          .find("pass phrase"),
      std::string::npos);
  EXPECT_NE(
      error_of({"x.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ""})
          .find("x.pem: "),
      std::string::npos);
  EXPECT_FALSE(ServerContext::create({}));
  ClientOptions client;
  client.roots_pem = "no roots";
  EXPECT_FALSE(ClientContext::create(client));
}

TEST(Contexts, RootsAreCountedAndBadOnesPassedOver) {
  ClientOptions options;
  options.roots_pem = text_of("root.pem") +
                      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" +
                      text_of("other_root.pem");
  EXPECT_EQ(client_context(options)->roots(), 2u);
}

}  // namespace
}  // namespace ringmta::tls
