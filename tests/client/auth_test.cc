// SPDX-License-Identifier: GPL-3.0-or-later
// Authentication at next hops: which mechanism, what a refusal means, where secrets come from, and
// that they go nowhere else.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <thread>

#include "../../src/client/secret_source.h"
#include "../tls/material.h"
#include "relay.h"
#include "ringmta/base/base64.h"
#include "ringmta/sasl/server_exchange.h"

namespace ringmta::client {
namespace {

using namespace std::string_literals;

std::string encoded(std::string_view text) {
  std::string into;
  append_base64(as_bytes(text), into);
  return into;
}
std::string decoded(std::string_view text) {
  std::string into;
  EXPECT_TRUE(append_base64_decoded(text, into)) << text;
  return into;
}

// A server that knows one user.
struct Door {
  std::string mechanisms = "PLAIN LOGIN";
  std::string user = "ann", password = "s3cret", token = "t0ken";
  std::string refusal = "535 5.7.8 Error: authentication failed";
  bool secure_only = true;
  std::vector<std::string> used;  // mechanisms, in the order in which they were tried
  std::shared_ptr<const sasl::Users> users;
  std::map<uint32_t, std::unique_ptr<sasl::ServerExchange>> exchanges;
  std::map<uint32_t, std::string> login;  // the name, of those in the middle of LOGIN

  std::optional<std::string> answer(uint32_t connection, std::string_view line) {
    if (const auto found = exchanges.find(connection); found != exchanges.end()) {
      return go_on(connection, found->second->respond(decoded(line)));
    }
    if (const auto found = login.find(connection); found != login.end()) {
      if (found->second.empty()) {
        found->second = decoded(line);
        return "334 UGFzc3dvcmQ6";
      }
      const bool good = found->second == user && decoded(line) == password;
      login.erase(found);
      return good ? "235 2.7.0 ok" : refusal;
    }
    if (!line.starts_with("AUTH ")) return std::nullopt;
    line.remove_prefix(5);
    const std::string_view mechanism = line.substr(0, line.find(' '));
    const std::string first =
        mechanism.size() < line.size() ? decoded(line.substr(mechanism.size() + 1)) : "";
    used.emplace_back(mechanism);
    if (mechanisms.find(mechanism) == std::string::npos) return "504 5.5.4 unknown";
    if (mechanism == "PLAIN") {
      const std::string good = std::string(1, '\0') + user + std::string(1, '\0') + password;
      return first == good ? "235 2.7.0 ok" : refusal;
    }
    if (mechanism == "LOGIN") {
      login[connection];
      return "334 VXNlcm5hbWU6";
    }
    if (mechanism == "XOAUTH2") {
      const std::string good = "user=" + user + "\1auth=Bearer " + token + "\1\1";
      return first == good ? "235 2.7.0 ok" : refusal;
    }
    sasl::ServerSide side;
    side.users = users;
    side.nonce = "a nonce of the server's";
    auto exchange = std::make_unique<sasl::ServerExchange>(sasl::Mechanism::scram_sha_256, side);
    const sasl::ServerExchange::Step step = exchange->begin(true, first);
    exchanges[connection] = std::move(exchange);
    return go_on(connection, step);
  }
  std::string go_on(uint32_t connection, const sasl::ServerExchange::Step& step) {
    using Action = sasl::ServerExchange::Action;
    if (step.action == Action::challenge) return "334 " + encoded(step.text);
    const std::string said = step.action == Action::succeeded ? "235 2.7.0 ok" : refusal;
    exchanges.erase(connection);
    return said;
  }
};

struct Auth : Relay {
  Auth() {
    char pattern[] = "/tmp/ringmta-auth-XXXXXX";
    directory = ::mkdtemp(pattern);
    options.timeouts.auth = hours(100);  // the helper thread's time is not the world's
    put("password", "s3cret\n");
    put("token", "t0ken\n");
    options.mx.auth.emplace();
    options.mx.auth->user = "ann";
    options.mx.auth->password_file = path("password");
  }
  ~Auth() override { std::system(("rm -r " + directory).c_str()); }
  std::string path(const std::string& name) const { return directory + "/" + name; }
  void put(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
  }
  std::string script(const std::string& text) const {
    put("command", "#!/bin/sh\n" + text);
    ::chmod(path("command").c_str(), 0700);
    return path("command");
  }
  void use_numbered_tokens() {  // "1", then "2", and so on
    options.mx.auth->password_file.clear();
    options.mx.auth->token_command = {
        script("echo x >> " + path("count") + "\nwc -l < " + path("count") + "\n")};
  }
  ScriptedPeer::Script peer_script() {
    ScriptedPeer::Script made;
    made.ehlo = "250-mx.example\r\n250 STARTTLS";
    made.secure_ehlo = "250-mx.example\r\n250-PIPELINING\r\n250 AUTH " + door.mechanisms;
    tls::ServerOptions how;
    how.certificates.push_back(tls::certificate_text("mail_ecdsa"));
    made.tls = *tls::ServerContext::create(how);
    made.answer = [this](uint32_t connection, std::string_view line) {
      return door.answer(connection, line);
    };
    return made;
  }
  queue::SiteId begin() {
    start();
    pools().use_credentials(credentials);
    return queue().add_site({"192.0.2.1"});
  }
  // In the world's time, which stands while the helper thread works.
  bool run_with_helper(const std::function<bool()>& done) {
    return run(
        [&] {
          while (!credentials.idle()) std::this_thread::yield();
          return done();
        },
        hours(1));
  }
  bool delivered(size_t count) {
    return run_with_helper([&] { return queue().count(Verdict::delivered) == count; });
  }
  bool failed() {
    return run_with_helper([&] { return !queue().news.empty(); });
  }
  std::string directory;
  Door door;
  Credentials credentials;
};

TEST_F(Auth, PlainOverTls) {
  ScriptedPeer peer(world, "192.0.2.1", peer_script());
  const queue::SiteId site = begin();
  queue().add(site, mail("m"));
  ASSERT_TRUE(delivered(1));
  EXPECT_EQ(door.used, std::vector<std::string>{"PLAIN"});
  EXPECT_EQ(pools().counters().authenticated, 1U);
  EXPECT_EQ(queue().result_of("m")->tls.version, "TLSv1.3");
}

TEST_F(Auth, LoginWhereNothingElseIsOffered) {
  door.mechanisms = "LOGIN CRAM-MD5";
  ScriptedPeer peer(world, "192.0.2.1", peer_script());
  const queue::SiteId site = begin();
  queue().add(site, mail("m"));
  ASSERT_TRUE(delivered(1));
  EXPECT_EQ(door.used, std::vector<std::string>{"LOGIN"});
}

TEST_F(Auth, ScramIsPreferred) {
  door.mechanisms = "PLAIN LOGIN SCRAM-SHA-256";
  std::vector<sasl::UserFault> faults;
  door.users = sasl::Users::parse(
      sasl::user_line("ann", sasl::make_verifier("s3cret", "salt of 16 octet", 4096)) + "\n",
      faults);
  ScriptedPeer peer(world, "192.0.2.1", peer_script());
  const queue::SiteId site = begin();
  queue().add(site, mail("m"));
  ASSERT_TRUE(delivered(1));
  EXPECT_EQ(door.used, std::vector<std::string>{"SCRAM-SHA-256"});
  for (const std::string& line : peer.commands) {
    EXPECT_EQ(line.find(encoded("s3cret")), std::string::npos);
  }
}

TEST_F(Auth, ConfiguredMechanismsInTheirOrder) {
  door.mechanisms = "PLAIN LOGIN SCRAM-SHA-256";
  options.mx.auth->mechanisms = {"XOAUTH2", "LOGIN", "PLAIN"};
  ScriptedPeer peer(world, "192.0.2.1", peer_script());
  const queue::SiteId site = begin();
  queue().add(site, mail("m"));
  ASSERT_TRUE(delivered(1));
  EXPECT_EQ(door.used, std::vector<std::string>{"LOGIN"});
}

TEST_F(Auth, TokenByXoauth2) {
  door.mechanisms = "PLAIN XOAUTH2";
  options.mx.auth->password_file.clear();
  options.mx.auth->token_file = path("token");
  ScriptedPeer peer(world, "192.0.2.1", peer_script());
  const queue::SiteId site = begin();
  queue().add(site, mail("m"));
  ASSERT_TRUE(delivered(1));
  EXPECT_EQ(door.used, std::vector<std::string>{"XOAUTH2"});
}

TEST_F(Auth, ALongTokenWaitsForAnEmptyChallenge) {
  const std::string token(2000, 't');
  door.mechanisms = "XOAUTH2";
  options.mx.auth->password_file.clear();
  options.mx.auth->token_file = path("token");
  put("token", R"({"access_token": ")" + token + R"(", "expires_in": 3599})");
  ScriptedPeer::Script made = peer_script();
  std::string got;
  made.answer = [&](uint32_t, std::string_view line) -> std::optional<std::string> {
    if (line == "AUTH XOAUTH2") return "334 ";
    if (line.size() < 100) return std::nullopt;
    got = decoded(line);
    return "235 2.7.0 ok";
  };
  ScriptedPeer peer(world, "192.0.2.1", made);
  const queue::SiteId site = begin();
  queue().add(site, mail("m"));
  ASSERT_TRUE(delivered(1));
  EXPECT_EQ(got, "user=ann\1auth=Bearer " + token + "\1\1");
}

TEST_F(Auth, AnExpiredTokenIsFetchedAnewOnTheSameConnection) {
  door.mechanisms = "XOAUTH2";
  door.token = "2";
  use_numbered_tokens();
  ScriptedPeer peer(world, "192.0.2.1", peer_script());
  const queue::SiteId site = begin();
  queue().add(site, mail("m"));
  ASSERT_TRUE(delivered(1));
  EXPECT_EQ(peer.connections, 1U);
  EXPECT_EQ(door.used, (std::vector<std::string>{"XOAUTH2", "XOAUTH2"}));
}

TEST_F(Auth, AWrongPasswordIsTheSitesTroubleAndTriedOnce) {
  put("password", "wr0ng\n");
  ScriptedPeer peer(world, "192.0.2.1", peer_script());
  const queue::SiteId site = begin();
  queue().add(site, mail("m"));
  ASSERT_TRUE(failed());
  EXPECT_EQ(door.used, std::vector<std::string>{"PLAIN"}) << "the same again is not tried";
  EXPECT_EQ(queue().news[0],
            "failed 0: 192.0.2.1 (192.0.2.1:25): authentication failed: 535 5.7.8 Error: "
            "authentication failed");
  EXPECT_EQ(queue().failed_status, (smtp::EnhancedStatus{4, 7, 8}));
  EXPECT_TRUE(queue().results.empty()) << "no message pays for it";
  EXPECT_EQ(pools().counters().auth_failures, 1U);
  // Put right, it works at the next probe.
  put("password", "s3cret\n");
  ASSERT_TRUE(delivered(1));
}

TEST_F(Auth, ATokenThatIsNewEachTimeIsTriedTwice) {
  door.mechanisms = "XOAUTH2";
  door.token = "none of these";
  use_numbered_tokens();
  ScriptedPeer peer(world, "192.0.2.1", peer_script());
  const queue::SiteId site = begin();
  queue().add(site, mail("m"));
  ASSERT_TRUE(failed());
  EXPECT_EQ(door.used, (std::vector<std::string>{"XOAUTH2", "XOAUTH2"}));
  EXPECT_EQ(queue().failed_status, (smtp::EnhancedStatus{4, 7, 8}));
}

// Some servers say what they did not understand.
const std::string kWrongLine = encoded("\0ann\0wr0ng"s);

struct Quoted : Auth, testing::WithParamInterface<std::string> {};

TEST_P(Quoted, TheSecretIsNotShown) {
  door.mechanisms = "PLAIN";
  door.refusal = GetParam();
  put("password", "wr0ng\n");
  ScriptedPeer peer(world, "192.0.2.1", peer_script());
  const queue::SiteId site = begin();
  queue().add(site, mail("m"));
  ASSERT_TRUE(failed());
  const std::string news = queue().news[0];
  EXPECT_EQ(news.find(kWrongLine.substr(4, 8)), std::string::npos) << news;
  EXPECT_NE(news.find(GetParam().substr(0, 3) + " (it quotes what was said to authenticate)"),
            std::string::npos)
      << news;
}
INSTANTIATE_TEST_SUITE_P(Refusals, Quoted,
                         testing::Values("500 5.5.1 Command unrecognized: \"AUTH PLAIN " +
                                             kWrongLine + "\"",
                                         "535 5.7.8 no: " + kWrongLine,
                                         "421 4.7.0 " + kWrongLine.substr(4),
                                         "454 4.7.0 later, " + kWrongLine));

TEST_F(Auth, NotNow) {
  door.refusal = "454 4.7.0 Temporary authentication failure";
  put("password", "wr0ng\n");
  ScriptedPeer peer(world, "192.0.2.1", peer_script());
  const queue::SiteId site = begin();
  queue().add(site, mail("m"));
  ASSERT_TRUE(failed());
  EXPECT_EQ(queue().failed_status, (smtp::EnhancedStatus{4, 7, 0}));
}

TEST_F(Auth, AMechanismThatIsNotKnownAfterAllMakesWayForTheNext) {
  ScriptedPeer::Script made = peer_script();
  made.answer = [this](uint32_t connection, std::string_view line) -> std::optional<std::string> {
    if (line.starts_with("AUTH PLAIN")) return "504 5.5.4 not any more";
    return door.answer(connection, line);
  };
  ScriptedPeer peer(world, "192.0.2.1", made);
  const queue::SiteId site = begin();
  queue().add(site, mail("m"));
  ASSERT_TRUE(delivered(1));
  EXPECT_EQ(door.used, std::vector<std::string>{"LOGIN"});
}

TEST_F(Auth, NeverInClearText) {
  ScriptedPeer::Script made = peer_script();
  made.ehlo = "250-mx.example\r\n250 AUTH PLAIN LOGIN";
  ScriptedPeer peer(world, "192.0.2.1", made);
  const queue::SiteId site = begin();
  queue().add(site, mail("m"));
  ASSERT_TRUE(failed());  // opportunistic means required here
  EXPECT_EQ(peer.count("AUTH"), 0U);
  EXPECT_EQ(queue().failed_status, (smtp::EnhancedStatus{4, 7, 4}));
}

TEST_F(Auth, NeverInClearTextEvenWhereTlsIsNotWanted) {
  options.mx.tls.policy = TlsPolicy::none;
  ScriptedPeer::Script made = peer_script();
  made.ehlo = "250-mx.example\r\n250 AUTH PLAIN LOGIN";
  ScriptedPeer peer(world, "192.0.2.1", made);
  const queue::SiteId site = begin();
  queue().add(site, mail("m"));
  ASSERT_TRUE(failed());
  EXPECT_EQ(peer.count("AUTH"), 0U);
  EXPECT_NE(queue().news[0].find("would show the secret, and the connection is in clear text"),
            std::string::npos);
}

TEST_F(Auth, ClearTextWherePermitted) {
  options.mx.auth->without_tls = true;
  ScriptedPeer::Script made = peer_script();
  made.ehlo = "250-mx.example\r\n250 AUTH PLAIN LOGIN";
  ScriptedPeer peer(world, "192.0.2.1", made);
  const queue::SiteId site = begin();
  queue().add(site, mail("m"));
  ASSERT_TRUE(delivered(1));
}

TEST_F(Auth, NotOffered) {
  ScriptedPeer::Script made = peer_script();
  made.secure_ehlo = "250 mx.example";
  ScriptedPeer peer(world, "192.0.2.1", made);
  const queue::SiteId site = begin();
  queue().add(site, mail("m"));
  ASSERT_TRUE(failed());
  EXPECT_NE(queue().news[0].find("it does not offer AUTH"), std::string::npos);
}

TEST_F(Auth, ANextHopThatWantsItWithoutOurKnowingDefersTheMail) {
  options.mx.auth.reset();
  ScriptedPeer::Script made = peer_script();
  made.answer = [](uint32_t, std::string_view line) -> std::optional<std::string> {
    if (line.starts_with("MAIL")) return "530 5.7.0 Authentication required";
    return std::nullopt;
  };
  ScriptedPeer peer(world, "192.0.2.1", made);
  const queue::SiteId site = begin();
  queue().add(site, mail("m"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(queue().result_of("m")->verdict, Verdict::deferred);
}

TEST_F(Auth, WithoutASecretNothingIsTried) {
  options.mx.auth->password_file = path("none");
  ScriptedPeer peer(world, "192.0.2.1", peer_script());
  const queue::SiteId site = begin();
  queue().add(site, mail("m"));
  ASSERT_TRUE(failed());
  EXPECT_EQ(door.used.size(), 0U);
  EXPECT_NE(queue().news[0].find(path("none") + ": No such file"), std::string::npos)
      << queue().news[0];
}

TEST_F(Auth, AStopWhileWaitingForASecret) {
  options.mx.auth->password_file.clear();
  options.mx.auth->token_command = {script("sleep 100\n")};
  door.mechanisms = "XOAUTH2";
  ScriptedPeer peer(world, "192.0.2.1", peer_script());
  const queue::SiteId site = begin();
  queue().add(site, mail("m"));
  ASSERT_TRUE(run([&] { return peer.handshakes == 1 && peer.count("EHLO") == 2; }));
  world.run_for(seconds(1));
  pools().stop();
  EXPECT_TRUE(run([&] { return pools().idle(); }));
  EXPECT_EQ(door.used.size(), 0U);
}

// ---- secrets from files and commands

TEST(SecretSource, FirstLineOrJson) {
  EXPECT_EQ(read_secret("one\ntwo\n", false)->text, "one");
  EXPECT_EQ(read_secret("one\r\n", false)->text, "one");
  EXPECT_EQ(read_secret(" with blanks ", false)->text, " with blanks ");
  EXPECT_EQ(read_secret("{one", false)->text, "{one");  // a password
  EXPECT_FALSE(read_secret("", false));
  EXPECT_FALSE(read_secret("\nx", false));
  const auto json = read_secret(R"({"access_token":"abc","expires_in":100,"x":1})", true);
  EXPECT_EQ(json->text, "abc");
  EXPECT_EQ(json->lifetime.count, 100'000);
  EXPECT_FALSE(read_secret(R"({"error":"invalid_grant"})", true));
  EXPECT_FALSE(read_secret("{", true));
}

TEST_F(Auth, CommandsThatFail) {
  const std::atomic<bool> stop{false};
  AuthOptions source;
  const auto problem = [&](const std::vector<std::string>& command) {
    source.token_command = command;
    const auto fetched = fetch_secret(source, stop);
    return fetched ? "" : fetched.error().message;
  };
  EXPECT_NE(problem({"/none/such"}).find("No such file"), std::string::npos);
  EXPECT_NE(problem({script("echo t0ken; exit 3")}).find("ended with status 3"), std::string::npos);
  EXPECT_NE(problem({script("kill -9 $$")}).find("killed by a signal"), std::string::npos);
  EXPECT_NE(problem({script("yes")}).find("printed more than a token"), std::string::npos);
  EXPECT_NE(problem({script(":")}).find("has no first line"), std::string::npos);
  EXPECT_EQ(problem({script("echo $1; cat; echo no >&2"), "t0ken"}), "");
}

}  // namespace
}  // namespace ringmta::client
