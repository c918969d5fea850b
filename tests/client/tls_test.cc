// SPDX-License-Identifier: GPL-3.0-or-later
// TLS to next hops: what each policy does with each kind of peer.
#include <set>

#include "../tls/material.h"
#include "relay.h"
#include "ringmta/tls/session.h"
#include "tls_memory.h"

namespace ringmta::client {
namespace {

constexpr const char* kOffers =
    "250-mx.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-CHUNKING\r\n250-SIZE 50000000\r\n"
    "250 STARTTLS";

struct Tools {
  std::shared_ptr<tls::ServerContext> context_of(const std::string& certificate,
                                                 bool tickets = true) {
    tls::ServerOptions how;
    how.certificates.push_back(tls::certificate_text(certificate));
    auto context = tls::ServerContext::create(how);
    EXPECT_TRUE(context) << (context ? "" : context.error().message);
    keys.rotate();
    if (tickets) (*context)->set_ticket_keys(keys);
    return *context;
  }
  ScriptedPeer::Script good(const std::string& certificate = "mail_ecdsa") {
    ScriptedPeer::Script script;
    script.ehlo = kOffers;
    script.tls = context_of(certificate);
    return script;
  }
  // Offers STARTTLS and answers it so.
  static ScriptedPeer::Script broken(const std::string& answer_to_starttls) {
    ScriptedPeer::Script script;
    script.ehlo = kOffers;
    script.answer = [answer_to_starttls](uint32_t, std::string_view line) {
      return line == "STARTTLS" ? std::optional(answer_to_starttls) : std::nullopt;
    };
    return script;
  }
  // TLS works, but the EHLO in it, of these connections, is answered so.
  ScriptedPeer::Script broken_in_tls(const std::string& answer_to_ehlo,
                                     std::function<bool(uint32_t)> is_for) {
    ScriptedPeer::Script script = good();
    script.answer = [=, in_tls = std::set<uint32_t>()](uint32_t connection,
                                                       std::string_view line) mutable {
      if (line == "STARTTLS") {
        in_tls.insert(connection);
      } else if (line.starts_with("EHLO") && in_tls.contains(connection) && is_for(connection)) {
        return std::optional(answer_to_ehlo);
      }
      return std::optional<std::string>();
    };
    return script;
  }
  ScriptedPeer::Script broken_in_tls(const std::string& answer_to_ehlo) {
    return broken_in_tls(answer_to_ehlo, [](uint32_t) { return true; });
  }
  static void use(ClientPoolOptions& options, TlsPolicy policy) {
    options.mx.tls.policy = policy;
    options.mx.tls.roots_pem = tls::text_of("root.pem");
  }
  tls::TicketKeys keys;
};

struct TlsOut : Relay, Tools {
  void use(TlsPolicy policy) { Tools::use(options, policy); }
  // A site of one host of that name.
  queue::SiteId site_of(const std::string& address, const std::string& name = "mail.example.com") {
    const queue::SiteId id = queue().add_site({address});
    queue().site(id).hosts[0].name = name;
    return id;
  }
  const ClientCounters& counters() { return pools().counters(); }
  bool run_until_failed(Milliseconds limit = minutes(30)) {
    return run([&] { return !queue().news.empty(); }, limit);
  }
};

// Tests that make a world for each of their cases.
struct TlsWorlds : ::testing::Test, Tools {
  TlsWorlds() { options.session.hostname = "relay.example"; }
  ClientPoolOptions options;
};

TEST_F(TlsOut, OpportunisticTakesWhatIsOffered) {
  ScriptedPeer peer(world, "192.0.2.1", good("self_signed"));
  start();
  queue().add(site_of("192.0.2.1", "mail.example.com:25"), mail("m"));
  ASSERT_TRUE(run_until_results(1));
  const Result& result = *queue().result_of("m");
  EXPECT_EQ(result.verdict, Verdict::delivered);
  EXPECT_EQ(result.tls.version, "TLSv1.3");
  EXPECT_FALSE(result.tls.cipher.empty());
  EXPECT_FALSE(result.tls.verified);
  EXPECT_FALSE(result.tls.resumed);
  EXPECT_EQ(peer.count("EHLO"), 2U);
  EXPECT_EQ(peer.count("STARTTLS"), 1U);
  EXPECT_EQ(peer.server_name, "mail.example.com");
  ASSERT_EQ(peer.mails.size(), 1U);
  EXPECT_TRUE(peer.mails[0].secure);
  EXPECT_TRUE(peer.mails[0].chunked);
  EXPECT_EQ(counters().tls_transactions, 1U);
}

TEST_F(TlsOut, NotOffered) {
  ScriptedPeer peer(world, "192.0.2.1");
  start();
  queue().add(site_of("192.0.2.1"), mail("m"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(queue().result_of("m")->tls.version, "");
  EXPECT_EQ(queue().count(Verdict::delivered), 1U);
}

TEST_F(TlsOut, NoneDoesNotAskForIt) {
  use(TlsPolicy::none);
  ScriptedPeer peer(world, "192.0.2.1", good());
  start();
  queue().add(site_of("192.0.2.1"), mail("m"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(peer.count("STARTTLS"), 0U);
  EXPECT_FALSE(peer.mails[0].secure);
}

TEST_F(TlsWorlds, LargeContentArrivesWhole) {
  for (const bool chunking : {true, false}) {
    sim::World own;
    options.session.chunking = chunking;
    ScriptedPeer peer(own, "192.0.2.1", good());
    Shard one(own, options);
    const queue::SiteId site = one.queue.add_site({"192.0.2.1"});
    Mail large = mail("m");
    large.content = "Subject: much\r\n\r\n";
    while (large.content.size() < 700'000) {
      large.content += "line " + std::to_string(large.content.size()) + "\r\n";
    }
    large.pieces = 7;
    one.queue.add(site, large);
    ASSERT_TRUE(own.run_until([&] { return !one.queue.results.empty(); }, minutes(30)));
    ASSERT_EQ(peer.mails.size(), 1U);
    EXPECT_EQ(peer.mails[0].content, large.content);
    EXPECT_EQ(peer.mails[0].chunked, false);  // larger than chunking_size_max, or not wanted
    one.pools->stop();
    EXPECT_TRUE(own.run_until([&] { return one.pools->idle(); }, minutes(30)));
  }
}

TEST_F(TlsOut, ManyMessagesOverOneConnection) {
  ScriptedPeer peer(world, "192.0.2.1", good());
  start();
  const queue::SiteId site = site_of("192.0.2.1");
  queue().site(site).local_share = 1;
  for (int i = 0; i < 200; ++i) queue().add(site, mail(std::to_string(i)));
  ASSERT_TRUE(run_until_results(200));
  EXPECT_EQ(queue().count(Verdict::delivered), 200U);
  EXPECT_EQ(peer.connections, 1U);
  EXPECT_EQ(counters().tls_transactions, 200U);
}

TEST_F(TlsWorlds, SegmentsOfAnySize) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    sim::WorldOptions how;
    how.seed = seed;
    how.network.segment_octets_max = seed < 3 ? 1 : 50;
    sim::World own(how);
    ScriptedPeer peer(own, "192.0.2.1", good());
    Shard one(own, options);
    const queue::SiteId site = one.queue.add_site({"192.0.2.1"}, 3);
    for (int i = 0; i < 10; ++i) one.queue.add(site, mail(std::to_string(i)));
    ASSERT_TRUE(own.run_until([&] { return one.queue.results.size() == 10; }, minutes(30)));
    EXPECT_EQ(one.queue.count(Verdict::delivered), 10U);
    EXPECT_EQ(peer.tls_errors.size(), 0U);
    for (const ReceivedMail& received : peer.mails) EXPECT_TRUE(received.secure);
    one.pools->stop();
    EXPECT_TRUE(own.run_until([&] { return one.pools->idle(); }, minutes(30)));
  }
}

TEST_F(TlsOut, TheNextConnectionResumes) {
  ScriptedPeer peer(world, "192.0.2.1", good());
  start();
  const queue::SiteId site = site_of("192.0.2.1");
  for (int i = 0; i < 3; ++i) {
    queue().add(site, mail(std::to_string(i)));
    ASSERT_TRUE(run_until_results(static_cast<size_t>(i) + 1));
    ASSERT_TRUE(run([&] { return counters().connections == 0; }));
  }
  EXPECT_EQ(peer.connections, 3U);
  EXPECT_EQ(peer.resumed, 2U);
  EXPECT_EQ(counters().tls_resumed, 2U);
  EXPECT_FALSE(queue().result_of("0")->tls.resumed);
  EXPECT_TRUE(queue().result_of("2")->tls.resumed);
}

// ---- where TLS does not work

TEST_F(TlsOut, OpportunisticGoesOnInClearTextAfterARefusal) {
  ScriptedPeer peer(world, "192.0.2.1", broken("454 4.7.0 TLS not available"));
  start();
  queue().add(site_of("192.0.2.1"), mail("m"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(queue().count(Verdict::delivered), 1U);
  EXPECT_EQ(peer.connections, 1U);
  EXPECT_FALSE(peer.mails[0].secure);
}

TEST_F(TlsWorlds, OpportunisticConnectsAnewAndRemembers) {
  std::vector<std::pair<std::string, ScriptedPeer::Script>> cases;
  for (const char* how :
       {"220 go", "220 go!drop", "220 go!reset", "220 go!deaf", "421 4.3.2 not now!drop"}) {
    cases.emplace_back(how, broken(how));
  }
  for (const char* how : {"!drop", "!reset", "!deaf", "454 4.7.0 TLS is out of order",
                          "421 4.3.2 closing!drop", "what is this?"}) {
    cases.emplace_back(std::string("in TLS: ") + how, broken_in_tls(how));
  }
  for (const auto& [how, script] : cases) {
    sim::World own;
    ScriptedPeer peer(own, "192.0.2.1", script);
    options.tls.broken_for = minutes(10);
    Shard one(own, options);
    const queue::SiteId site = one.queue.add_site({"192.0.2.1"});
    const auto deliver = [&](const std::string& name) {
      const size_t before = one.queue.results.size();
      one.queue.add(site, mail(name));
      EXPECT_TRUE(own.run_until([&] { return one.queue.results.size() > before; }, minutes(30)));
      EXPECT_TRUE(own.run_until([&] { return one.pools->counters().idle == 0; }, minutes(30)));
    };
    deliver("1");
    EXPECT_EQ(peer.count("STARTTLS"), 1U) << how;
    deliver("2");
    EXPECT_EQ(peer.count("STARTTLS"), 1U) << how;
    EXPECT_EQ(one.queue.count(Verdict::delivered), 2U) << how;
    for (const ReceivedMail& received : peer.mails) EXPECT_FALSE(received.secure);
    EXPECT_EQ(one.pools->counters().tls_fallbacks, 1U) << how;
    EXPECT_TRUE(one.queue.news.empty());  // no host failed
    own.run_for(minutes(11));
    one.io->ring_doorbell();  // it has slept
    own.run_for(seconds(1));
    deliver("3");
    EXPECT_EQ(peer.count("STARTTLS"), 2U) << how;
    EXPECT_EQ(one.queue.count(Verdict::delivered), 3U) << how;
    one.pools->stop();
    EXPECT_TRUE(own.run_until([&] { return one.pools->idle(); }, minutes(30)));
  }
}

TEST_F(TlsWorlds, RequiredNeverGoesInClearText) {
  struct {
    const char* answer;
    const char* reason;
    uint16_t detail;
  } const cases[] = {
      {"454 4.7.0 not now", "TLS is required here, and it refused STARTTLS: 454 4.7.0 not now", 4},
      {"220 go!drop", "the peer closed the connection during the TLS handshake", 5},
      {"220 go!deaf", "no reply to tls within 60 s", 5},
  };
  use(options, TlsPolicy::required);
  for (const auto& one_case : cases) {
    sim::World own;
    ScriptedPeer peer(own, "192.0.2.1", broken(one_case.answer));
    Shard one(own, options);
    one.queue.add(one.queue.add_site({"192.0.2.1"}), mail("m"));
    ASSERT_TRUE(own.run_until([&] { return !one.queue.news.empty(); }, minutes(30)));
    EXPECT_NE(one.queue.news[0].find(one_case.reason), std::string::npos) << one.queue.news[0];
    EXPECT_EQ(one.queue.failed_status, (smtp::EnhancedStatus{4, 7, one_case.detail}));
    EXPECT_EQ(peer.count("MAIL"), 0U);
    EXPECT_TRUE(one.queue.results.empty());
    one.pools->stop();
    EXPECT_TRUE(own.run_until([&] { return one.pools->idle(); }, minutes(30)));
  }
}

TEST_F(TlsWorlds, RequiredWaitsForWhoBreaksInTls) {
  use(options, TlsPolicy::required);
  for (const char* how : {"!drop", "!reset", "!deaf", "454 4.7.0 TLS is out of order"}) {
    sim::World own;
    ScriptedPeer peer(own, "192.0.2.1", broken_in_tls(how));
    Shard one(own, options);
    one.queue.add(one.queue.add_site({"192.0.2.1"}), mail("m"));
    ASSERT_TRUE(own.run_until([&] { return !one.queue.news.empty(); }, minutes(30))) << how;
    EXPECT_EQ(peer.count("MAIL"), 0U) << how;
    EXPECT_EQ(peer.connections, 1U) << how;
    EXPECT_EQ(one.pools->counters().tls_fallbacks, 0U);
    one.pools->stop();
    EXPECT_TRUE(own.run_until([&] { return one.pools->idle(); }, minutes(30)));
  }
}

// One connection too many is no reason to go on in clear text.
TEST_F(TlsOut, NothingFallsBackWhileOthersAreServedOverTls) {
  ScriptedPeer peer(
      world, "192.0.2.1",
      broken_in_tls("421 4.7.0 too many connections!drop", [](uint32_t n) { return n % 2 == 0; }));
  peer.script.delay = Milliseconds{50};
  peer.script.tls = context_of("mail_ecdsa", false);  // nothing can be resumed
  start();
  const queue::SiteId site = site_of("192.0.2.1");
  queue().site(site).local_share = 2;
  for (int i = 0; i < 60; ++i) queue().add(site, mail(std::to_string(i)));
  ASSERT_TRUE(run_until_results(60));
  EXPECT_EQ(queue().count(Verdict::delivered), 60U);
  EXPECT_GE(peer.connections, 2U);
  for (const ReceivedMail& received : peer.mails) EXPECT_TRUE(received.secure);
  EXPECT_EQ(counters().tls_fallbacks, 0U);
}

// Where nothing can be remembered the next connection would break likewise, and the next.
TEST_F(TlsOut, WithoutMemoryABrokenHostIsTriedAtItsTime) {
  options.tls.broken_max = 0;
  ScriptedPeer peer(world, "192.0.2.1", broken("220 go!drop"));
  start();
  queue().add(site_of("192.0.2.1"), mail("m"));
  ASSERT_TRUE(run_until_failed());
  EXPECT_EQ(peer.connections, 1U);
}

// A host that breaks on sessions which were resumed is spoken to all the same: what failed is not
// offered again, and nothing is called broken before a full handshake has failed.
TEST_F(TlsWorlds, AHostThatBreaksOnResumedSessions) {
  for (const TlsPolicy policy :
       {TlsPolicy::opportunistic, TlsPolicy::required, TlsPolicy::verified}) {
    for (const char* how : {"!drop", "!reset", "454 4.7.0 who are you?", "!deaf"}) {
      sim::World own;
      use(options, policy);
      const ScriptedPeer* seen = nullptr;
      uint32_t broken = 0;
      ScriptedPeer peer(own, "192.0.2.1", broken_in_tls(how, [&](uint32_t) {
                          const bool resumed = seen->resumed > broken;
                          broken = seen->resumed;
                          return resumed;
                        }));
      seen = &peer;
      Shard one(own, options);
      const queue::SiteId site = one.queue.add_site({"192.0.2.1"});
      one.queue.site(site).hosts[0].name = "mail.example.com";
      for (size_t i = 0; i < 4; ++i) {
        one.queue.add(site, mail(std::to_string(i)));
        ASSERT_TRUE(own.run_until([&] { return one.queue.results.size() > i; }, minutes(30)));
        ASSERT_TRUE(
            own.run_until([&] { return one.pools->counters().connections == 0; }, minutes(30)));
      }
      EXPECT_EQ(one.queue.count(Verdict::delivered), 4U);
      for (const ReceivedMail& received : peer.mails) EXPECT_TRUE(received.secure) << how;
      EXPECT_EQ(peer.resumed, 3U) << how;
      EXPECT_EQ(peer.connections, 7U) << how;
      EXPECT_TRUE(one.queue.news.empty()) << one.queue.news[0];
      EXPECT_EQ(one.pools->counters().tls_fallbacks, 0U);
      one.pools->stop();
      EXPECT_TRUE(own.run_until([&] { return one.pools->idle(); }, minutes(30)));
    }
  }
}

// The handshake itself may be where such a host stops.
TEST_F(TlsOut, AHostThatClosesOnAnOfferedSession) {
  use(TlsPolicy::required);
  ScriptedPeer peer(world, "192.0.2.1", good());
  start();
  const queue::SiteId site = site_of("192.0.2.1");
  queue().add(site, mail("1"));
  ASSERT_TRUE(run_until_results(1));
  ASSERT_TRUE(run([&] { return counters().connections == 0; }));
  peer.script.answer = [&](uint32_t connection, std::string_view line) {
    return connection == 2 && line == "STARTTLS" ? std::optional<std::string>("220 go!drop")
                                                 : std::nullopt;
  };
  queue().add(site, mail("2"));
  ASSERT_TRUE(run_until_results(2));
  EXPECT_EQ(queue().count(Verdict::delivered), 2U);
  EXPECT_EQ(peer.connections, 3U);
  EXPECT_EQ(peer.resumed, 0U) << "it is not offered again";
  EXPECT_TRUE(queue().news.empty());
}

TEST_F(TlsOut, RequiredAndNotOffered) {
  use(TlsPolicy::required);
  ScriptedPeer peer(world, "192.0.2.1");
  start();
  queue().add(site_of("192.0.2.1"), mail("m"));
  ASSERT_TRUE(run_until_failed());
  EXPECT_NE(queue().news[0].find("TLS is required here, and it does not offer it"),
            std::string::npos);
  EXPECT_EQ(queue().failed_status, (smtp::EnhancedStatus{4, 7, 4}));
  EXPECT_EQ(peer.count("MAIL"), 0U);
}

TEST_F(TlsOut, WordsBehindTheReplyToStarttlsAreNeverTakenForTheServers) {
  ScriptedPeer peer(world, "192.0.2.1", broken("220 go\r\n250-mx.example\r\n250 PIPELINING"));
  start();
  queue().add(site_of("192.0.2.1"), mail("m"));
  ASSERT_TRUE(run_until_failed());
  EXPECT_NE(queue().news[0].find("it sent more behind its reply to STARTTLS"), std::string::npos);
  EXPECT_EQ(peer.count("MAIL"), 0U);
}

TEST_F(TlsOut, AnotherHostIsTriedFirst) {
  use(TlsPolicy::required);
  ScriptedPeer broken_one(world, "192.0.2.1", broken("220 go!drop"));
  ScriptedPeer good_one(world, "192.0.2.2", good());
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1", "192.0.2.2"});
  queue().site(site).hosts[1].preference = 20;
  queue().add(site, mail("m"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(queue().count(Verdict::delivered), 1U);
  EXPECT_EQ(good_one.mails.size(), 1U);
}

// ---- verification

TEST_F(TlsOut, VerifiedTakesTheRightPeer) {
  use(TlsPolicy::verified);
  ScriptedPeer peer(world, "192.0.2.1", good());
  start();
  queue().add(site_of("192.0.2.1"), mail("m"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(queue().count(Verdict::delivered), 1U);
  EXPECT_TRUE(queue().result_of("m")->tls.verified);
}

TEST_F(TlsOut, VerifiedByAnotherName) {
  use(TlsPolicy::verified);
  options.mx.tls.name = "mail.example.com";
  ScriptedPeer peer(world, "192.0.2.1", good());
  start();
  queue().add(site_of("192.0.2.1", "something.else.example"), mail("m"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_TRUE(queue().result_of("m")->tls.verified);
  EXPECT_EQ(peer.server_name, "mail.example.com");
}

TEST_F(TlsWorlds, VerifiedRefusesAllOthers) {
  use(options, TlsPolicy::verified);
  struct {
    const char* certificate;
    const char* reason;
  } const cases[] = {
      {"other_rsa", "not for the name 'mail.example.com'"},
      {"expired", "expired"},
      {"self_signed", "self-signed"},
      {"unknown_root", ""},
      {"weak_key", ""},
      {"no_names", "not for the name"},
  };
  for (const auto& one_case : cases) {
    sim::World own;
    ScriptedPeer peer(own, "192.0.2.1", good(one_case.certificate));
    Shard one(own, options);
    const queue::SiteId site = one.queue.add_site({"192.0.2.1"});
    one.queue.site(site).hosts[0].name = "mail.example.com";
    one.queue.add(site, mail("m"));
    ASSERT_TRUE(own.run_until([&] { return !one.queue.news.empty(); }, minutes(30)));
    EXPECT_NE(one.queue.news[0].find("mail.example.com (192.0.2.1:25): TLS handshake: "),
              std::string::npos);
    EXPECT_NE(one.queue.news[0].find(one_case.reason), std::string::npos) << one.queue.news[0];
    EXPECT_EQ(one.queue.failed_status, (smtp::EnhancedStatus{4, 7, 5}));
    EXPECT_EQ(peer.count("MAIL"), 0U) << one_case.certificate;
    EXPECT_EQ(peer.tls_errors.size(), 1U) << "the peer was told by an alert";
    one.pools->stop();
    EXPECT_TRUE(own.run_until([&] { return one.pools->idle(); }, minutes(30)));
  }
}

TEST_F(TlsOut, RulesAndRoutesHaveTheirOwnPolicies) {
  options.rules.resize(1);
  options.rules[0].security.tls.policy = TlsPolicy::required;
  options.routes.resize(1);
  options.routes[0].tls.policy = TlsPolicy::none;
  ScriptedPeer peer(world, "192.0.2.1", good());
  start();
  const queue::SiteId by_rule = site_of("192.0.2.1");
  const queue::SiteId by_route = site_of("192.0.2.1");
  queue().site(by_rule).route = queue::kNoRoute;
  queue().site(by_rule).rule = 0;
  queue().site(by_route).route = 0;
  queue().add(by_route, mail("clear"));
  queue().add(by_rule, mail("secure"));
  ASSERT_TRUE(run_until_results(2));
  EXPECT_EQ(queue().result_of("clear")->tls.version, "");
  EXPECT_EQ(queue().result_of("secure")->tls.version, "TLSv1.3");
}

TEST_F(TlsOut, ClientCertificateIsShown) {
  options.mx.tls.certificate = tls::certificate_text("client");
  ScriptedPeer::Script script = good();
  tls::ServerOptions asking;
  asking.certificates.push_back(tls::certificate_text("mail_ecdsa"));
  asking.ask_client_certificate = true;
  asking.client_roots_pem = tls::text_of("root.pem");
  script.tls = *tls::ServerContext::create(asking);
  ScriptedPeer peer(world, "192.0.2.1", script);
  start();
  queue().add(site_of("192.0.2.1"), mail("m"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(peer.fingerprint.size(), 64U);
}

// ---- implicit TLS

TEST_F(TlsOut, ImplicitAtPort465) {
  ScriptedPeer::Script script = good();
  script.implicit_tls = true;
  script.ehlo = "250-mx.example\r\n250 PIPELINING";
  ScriptedPeer peer(world, "192.0.2.1:465", script);
  start();
  queue().add(site_of("192.0.2.1:465"), mail("m"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(queue().count(Verdict::delivered), 1U);
  EXPECT_EQ(queue().result_of("m")->tls.version, "TLSv1.3");
  EXPECT_EQ(peer.count("EHLO"), 1U);
}

TEST_F(TlsOut, ImplicitHasNoClearTextToFallBackTo) {
  ScriptedPeer peer(world, "192.0.2.1:465");  // greets in clear text
  start();
  queue().add(site_of("192.0.2.1:465"), mail("m"));
  ASSERT_TRUE(run_until_failed());
  EXPECT_EQ(queue().failed_status, (smtp::EnhancedStatus{4, 7, 5}));
  EXPECT_EQ(peer.count("MAIL"), 0U);
}

// ---- limits

TEST_F(TlsWorlds, HandshakesAreSpreadOverTurns) {
  options.tls.handshake_steps_per_turn = 1;
  sim::WorldOptions how;
  how.network.latency_us_min = how.network.latency_us_max = 100;  // all at once
  how.network.segment_octets_max = 300;  // and more comes while one waits for its turn
  sim::World own(how);
  ScriptedPeer peer(own, "192.0.2.1", good());
  Shard one(own, options);
  for (int i = 0; i < 30; ++i) {
    const queue::SiteId site = one.queue.add_site({"192.0.2.1"});
    one.queue.add(site, mail(std::to_string(i)));
  }
  ASSERT_TRUE(own.run_until([&] { return one.queue.results.size() == 30; }, minutes(30)));
  EXPECT_EQ(one.queue.count(Verdict::delivered), 30U);
  EXPECT_EQ(one.pools->counters().tls_handshakes, 30U);
  EXPECT_GT(one.pools->counters().tls_postponed, 29U);
  one.pools->stop();
  EXPECT_TRUE(own.run_until([&] { return one.pools->idle(); }, minutes(30)));
}

TEST_F(TlsOut, AStopInTheMiddleOfAHandshake) {
  ScriptedPeer::Script script = good();
  script.answer = [](uint32_t, std::string_view line) {
    return line == "STARTTLS" ? std::optional<std::string>("220 go!deaf") : std::nullopt;
  };
  ScriptedPeer peer(world, "192.0.2.1", script);
  start();
  queue().add(site_of("192.0.2.1"), mail("m"));
  ASSERT_TRUE(run([&] { return peer.count("STARTTLS") == 1; }));
  pools().stop();
  EXPECT_TRUE(run([&] { return pools().idle(); }));
  EXPECT_TRUE(queue().results.empty());
}

TEST_F(TlsOut, ALostConnectionIsJudgedAsInClearText) {
  ScriptedPeer::Script script = good();
  script.answer = [](uint32_t connection, std::string_view line) -> std::optional<std::string> {
    if (line.empty() && connection == 1) return "!reset";
    return std::nullopt;
  };
  ScriptedPeer peer(world, "192.0.2.1", script);
  start();
  queue().add(site_of("192.0.2.1"), mail("m"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(queue().result_of("m")->verdict, Verdict::deferred);
  EXPECT_TRUE(queue().result_of("m")->possible_duplicate);
}

TEST(TlsMemory, IsBoundedAndForgets) {
  TlsMemory memory(2);
  const auto host = [](const char* text) { return *parse_socket_address(text, 25); };
  const Monotonic now{seconds(100).count * 1'000'000};
  EXPECT_FALSE(memory.is_broken(host("192.0.2.1"), now));
  memory.note(host("192.0.2.1"), now + seconds(10));
  memory.note(host("192.0.2.2"), now + seconds(20));
  EXPECT_TRUE(memory.is_broken(host("192.0.2.1"), now));
  EXPECT_FALSE(memory.is_broken(host("192.0.2.1:587"), now));
  EXPECT_FALSE(memory.is_broken(host("192.0.2.1"), now + seconds(10)));
  EXPECT_EQ(memory.size(), 1U);
  memory.note(host("192.0.2.3"), now + seconds(20));
  memory.note(host("192.0.2.4"), now + seconds(20));
  EXPECT_EQ(memory.size(), 2U);
  EXPECT_FALSE(memory.is_broken(host("192.0.2.2"), now));
  EXPECT_TRUE(memory.is_broken(host("192.0.2.4"), now));
}

}  // namespace
}  // namespace ringmta::client
