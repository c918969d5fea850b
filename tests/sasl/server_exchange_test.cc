// SPDX-License-Identifier: GPL-3.0-or-later
// The server's exchanges: against our own client, and against clients that cheat.
#include "ringmta/sasl/server_exchange.h"

#include <gtest/gtest.h>

#include "ringmta/base/base64.h"
#include "ringmta/sasl/client_exchange.h"
#include "ringmta/sasl/prepare.h"

namespace ringmta::sasl {
namespace {

using namespace std::string_literals;
using Action = ServerExchange::Action;

const std::string kNonce = "server nonce, long";
const std::string kBinding(32, 'b');

std::shared_ptr<const Users> users() {
  const auto entry = [](std::string_view name, std::string_view password) {
    return user_line(name, make_verifier(password, "salt of 16 octet", 4096)) + "\n";
  };
  std::vector<UserFault> faults;
  auto made = Users::parse("!secret:c2VjcmV0IG9mIDE2IG9jdA==\n" + entry("alice", "pencil") +
                               entry("p\xC3\xA4l", "p\xC3\xA4ss") + entry("a=b,c", "x"),
                           faults);
  EXPECT_TRUE(faults.empty()) << faults.front().message;
  return made;
}

ServerSide side(std::string_view binding = {}, bool plus_offered = false) {
  return {.users = users(), .nonce = kNonce, .binding = binding, .plus_offered = plus_offered};
}

// Runs both; true: both are satisfied.
bool authenticate(Mechanism mechanism, const ClientLogin& login, const ServerSide& server_side,
                  std::string* who = nullptr) {
  ClientExchange client(mechanism, login);
  ServerExchange server(mechanism, server_side);
  ServerExchange::Step from_server;
  if (client.has_first()) {
    const ClientExchange::Step first = client.first();
    if (first.action != ClientExchange::Action::respond) return false;
    from_server = server.begin(true, first.text);
  } else {
    from_server = server.begin(false, {});
  }
  for (int rounds = 0; rounds < 5; ++rounds) {
    if (from_server.action == Action::verify) {
      from_server = server.verified(verify_password(server.password(), server.verifier()));
    }
    if (from_server.action == Action::failed) {
      EXPECT_EQ(server.user(), nullptr);
      return false;
    }
    if (from_server.action == Action::succeeded) {
      if (who != nullptr) *who = server.user()->name;
      return client.finish().empty();
    }
    ClientExchange::Step step = client.next(from_server.text);
    if (step.action == ClientExchange::Action::derive) step = client.derived(derive(client.work()));
    if (step.action == ClientExchange::Action::failed) return false;
    from_server = server.respond(step.text);
  }
  return false;
}

ClientLogin login_of(std::string_view user, std::string_view secret) {
  return {.user = user, .secret = secret, .nonce = "client nonce, long"};
}

TEST(ServerExchange, EveryMechanismLetsTheRightOnesIn) {
  for (const Mechanism mechanism : {Mechanism::plain, Mechanism::login, Mechanism::scram_sha_256,
                                    Mechanism::scram_sha_256_plus}) {
    const ServerSide plain_side = side(kBinding, true);
    const auto with = [&](std::string_view user, std::string_view secret) {
      ClientLogin login = login_of(user, secret);
      if (mechanism == Mechanism::scram_sha_256_plus) login.binding = kBinding;
      std::string who;
      return authenticate(mechanism, login, plain_side, &who) ? who : "nobody";
    };
    EXPECT_EQ(with("alice", "pencil"), "alice") << name_of(mechanism);
    EXPECT_EQ(with("pa\xCC\x88l", "pa\xCC\x88ss"), "p\xC3\xA4l") << name_of(mechanism);
    EXPECT_EQ(with("a=b,c", "x"), "a=b,c") << name_of(mechanism);
    EXPECT_EQ(with("alice", "pencil "), "nobody") << name_of(mechanism);
    EXPECT_EQ(with("Alice", "pencil"), "nobody") << name_of(mechanism);
    EXPECT_EQ(with("mallory", "pencil"), "nobody") << name_of(mechanism);
  }
}

TEST(ServerExchange, ToActForAnotherIsNotPossible) {
  for (const Mechanism mechanism : {Mechanism::plain, Mechanism::scram_sha_256}) {
    ClientLogin login = login_of("alice", "pencil");
    login.authorization = "alice";
    EXPECT_TRUE(authenticate(mechanism, login, side()));
    login.authorization = "p\xC3\xA4l";
    EXPECT_FALSE(authenticate(mechanism, login, side()));
  }
}

TEST(ServerPlain, WaitsForTheInitialResponse) {
  ServerExchange exchange(Mechanism::plain, side());
  EXPECT_EQ(exchange.begin(false, {}).action, Action::challenge);
  EXPECT_EQ(exchange.respond("\0alice\0pencil"s).action, Action::verify);
  EXPECT_EQ(exchange.claimed(), "alice");
  EXPECT_EQ(exchange.password(), "pencil");
  EXPECT_EQ(exchange.verified(true).action, Action::succeeded);
  EXPECT_EQ(exchange.password(), "");
}

TEST(ServerPlain, Malformed) {
  for (const std::string& bad :
       {""s, "alice"s, "\0alice"s, "\0\0"s, "\0\0pencil"s, "a\1\0x\0y"s, "\0al\1ice\0pencil"s}) {
    ServerExchange exchange(Mechanism::plain, side());
    const ServerExchange::Step step = exchange.begin(true, bad);
    if (step.action == Action::verify) {
      EXPECT_FALSE(verify_password(exchange.password(), exchange.verifier()));
      EXPECT_EQ(exchange.verified(true).action, Action::failed) << bad;
    } else {
      EXPECT_EQ(step.action, Action::failed) << bad;
    }
  }
  ServerExchange nul(Mechanism::plain, side());
  EXPECT_EQ(nul.begin(true, "\0alice\0pen\0cil"s).action, Action::verify);
  EXPECT_FALSE(verify_password(nul.password(), nul.verifier()));
}

TEST(ServerPlain, TheUnknownIsCheckedToo) {
  ServerExchange exchange(Mechanism::plain, side());
  EXPECT_EQ(exchange.begin(true, "\0mallory\0pencil"s).action, Action::verify);
  EXPECT_EQ(exchange.verifier().iterations, 4096U);
  EXPECT_EQ(exchange.verified(true).action, Action::failed);
}

std::string client_first(std::string_view gs2 = "n,,", std::string_view user = "alice") {
  return std::string(gs2) + "n=" + std::string(user) + ",r=clientnonce";
}

// The client's last message for a server's first one, proved with `password`.
std::string client_final(const std::string& first, std::string_view server_first,
                         std::string_view binding, std::string_view password = "pencil",
                         std::string_view nonce = {}) {
  const std::string bare = first.substr(first.find("n=", 2));
  std::string whole(server_first.substr(2, server_first.find(",s=") - 2));
  if (!nonce.empty()) whole = nonce;
  std::string message = "c=";
  append_base64(as_bytes(binding), message);
  message += ",r=" + whole;
  const ScramKeys keys = derive_scram_keys(password, "salt of 16 octet", 4096);
  const std::string auth = bare + "," + std::string(server_first) + "," + message;
  message += ",p=";
  append_base64(scram_proof(keys.client, scram_mac(scram_stored_key(keys.client), auth)), message);
  return message;
}

TEST(ServerScram, ProvesItselfBeforeItIsContent) {
  ServerExchange exchange(Mechanism::scram_sha_256, side());
  const std::string first = client_first();
  const std::string server_first(exchange.begin(true, first).text);
  EXPECT_TRUE(server_first.starts_with("r=clientnonce"));
  const auto step = exchange.respond(client_final(first, server_first, "n,,"));
  EXPECT_EQ(step.action, Action::challenge);
  EXPECT_TRUE(step.text.starts_with("v="));
  EXPECT_EQ(exchange.respond("").action, Action::succeeded);
  EXPECT_EQ(exchange.user()->name, "alice");
}

TEST(ServerScram, TheClientHasNoMoreToSay) {
  ServerExchange exchange(Mechanism::scram_sha_256, side());
  const std::string first = client_first();
  const std::string server_first(exchange.begin(true, first).text);
  exchange.respond(client_final(first, server_first, "n,,"));
  EXPECT_EQ(exchange.respond("x").action, Action::failed);
  EXPECT_EQ(exchange.user(), nullptr);
}

TEST(ServerScram, Cheats) {
  const auto outcome = [](std::string_view binding, std::string_view password,
                          std::string_view nonce = {}) {
    ServerExchange exchange(Mechanism::scram_sha_256, side());
    const std::string first = client_first();
    const std::string server_first(exchange.begin(true, first).text);
    return exchange.respond(client_final(first, server_first, binding, password, nonce)).action;
  };
  EXPECT_EQ(outcome("n,,", "pencil"), Action::challenge);
  EXPECT_EQ(outcome("n,,", "pencils"), Action::failed);
  EXPECT_EQ(outcome("y,,", "pencil"), Action::failed);
  EXPECT_EQ(outcome("n,a=boss,", "pencil"), Action::failed);
  EXPECT_EQ(outcome("n,,", "pencil", "clientnonce"), Action::failed);
  EXPECT_EQ(outcome("n,,", "pencil", "clientnonceother"), Action::failed);
}

TEST(ServerScram, ReplayDoesNotHelp) {
  const std::string first = client_first();
  std::string recorded;
  {
    ServerExchange exchange(Mechanism::scram_sha_256, side());
    const std::string server_first(exchange.begin(true, first).text);
    recorded = client_final(first, server_first, "n,,");
  }
  ServerSide other = side();
  other.nonce = "another server nonce";
  ServerExchange exchange(Mechanism::scram_sha_256, other);
  exchange.begin(true, first);
  EXPECT_EQ(exchange.respond(recorded).action, Action::failed);
}

TEST(ServerScram, ChannelBinding) {
  const auto begins = [](Mechanism mechanism, std::string_view gs2, const ServerSide& with) {
    ServerExchange exchange(mechanism, with);
    return exchange.begin(true, client_first(gs2)).action == Action::challenge;
  };
  const ServerSide with = side(kBinding, true);
  EXPECT_TRUE(begins(Mechanism::scram_sha_256_plus, "p=tls-exporter,,", with));
  EXPECT_FALSE(begins(Mechanism::scram_sha_256_plus, "p=tls-unique,,", with));
  EXPECT_FALSE(begins(Mechanism::scram_sha_256_plus, "n,,", with));
  EXPECT_FALSE(begins(Mechanism::scram_sha_256_plus, "p=tls-exporter,,", side()));
  EXPECT_FALSE(begins(Mechanism::scram_sha_256, "p=tls-exporter,,", with));
  EXPECT_FALSE(begins(Mechanism::scram_sha_256, "y,,", with));  // somebody hid -PLUS from it
  EXPECT_TRUE(begins(Mechanism::scram_sha_256, "y,,", side()));
  EXPECT_TRUE(begins(Mechanism::scram_sha_256, "n,,", with));

  ClientLogin other = login_of("alice", "pencil");
  other.binding = "the octets of another connection";
  EXPECT_FALSE(authenticate(Mechanism::scram_sha_256_plus, other, with));
}

TEST(ServerScram, Malformed) {
  for (const std::string& bad :
       {""s, "n"s, "n,"s, "n,,"s, "n,,n=alice"s, "n,,r=x,n=alice"s, "n,,n=,r=x"s, "n,,n=alice,r="s,
        "x,,n=alice,r=x"s, "n,b=x,n=alice,r=x"s, "n,,m=ext,n=alice,r=x"s, "n,,n=al=ice,r=x"s,
        "n,,n=alice,r=x y"s, "n,,n=alice,r=x,m=ext"s, "n,,n=alice,r=x,"s, "n,,n=ali\0ce,r=x"s,
        "p=,,n=alice,r=x"s}) {
    ServerExchange exchange(Mechanism::scram_sha_256, side());
    EXPECT_EQ(exchange.begin(true, bad).action, Action::failed) << bad;
  }
  const std::string first = client_first();
  for (const std::string& bad :
       {""s, "c=biws"s, "c=biws,r=NONCE"s, "c=biws,r=NONCE,p="s, "c=biws,r=NONCE,p=AAAA"s,
        "c=bi,r=NONCE,p=PROOF"s, "r=NONCE,c=biws,p=PROOF"s, "c=biws,r=NONCE,p=PROOF,x=y"s,
        "c=biws,r=NONCE,m=x,p=PROOF"s}) {
    ServerExchange exchange(Mechanism::scram_sha_256, side());
    const std::string server_first(exchange.begin(true, first).text);
    const std::string good = client_final(first, server_first, "n,,");
    const std::string nonce = server_first.substr(2, server_first.find(",s=") - 2);
    std::string message = bad;
    if (const size_t at = message.find("NONCE"); at != std::string::npos) {
      message.replace(at, 5, nonce);
    }
    if (const size_t at = message.find("PROOF"); at != std::string::npos) {
      message.replace(at, 5, good.substr(good.find(",p=") + 3));
    }
    EXPECT_EQ(exchange.respond(message).action, Action::failed) << message;
  }
}

TEST(ServerScram, AnEmptyAuthorizationIsNone) {
  ServerExchange exchange(Mechanism::scram_sha_256, side());
  const std::string first = client_first("n,a=,");
  const std::string server_first(exchange.begin(true, first).text);
  exchange.respond(client_final(first, server_first, "n,a=,"));
  EXPECT_EQ(exchange.respond("").action, Action::succeeded);
}

TEST(ServerScram, TheUnknownLookLikeTheKnown) {
  const auto salt_of = [](std::string_view user) {
    ServerExchange exchange(Mechanism::scram_sha_256, side());
    const std::string server_first(exchange.begin(true, client_first("n,,", user)).text);
    EXPECT_TRUE(server_first.ends_with(",i=4096")) << server_first;
    return server_first.substr(server_first.find(",s=") + 3);
  };
  EXPECT_EQ(salt_of("mallory"), salt_of("mallory"));  // always the same
  EXPECT_NE(salt_of("mallory"), salt_of("malory"));
  EXPECT_EQ(salt_of("mallory").size(), salt_of("alice").size());
  ServerExchange exchange(Mechanism::scram_sha_256, side());
  const std::string first = client_first("n,,", "mallory");
  const std::string server_first(exchange.begin(true, first).text);
  EXPECT_EQ(exchange.respond(client_final(first, server_first, "n,,")).action, Action::failed);
}

TEST(ServerLogin, TakesANameAtOnceToo) {
  ServerExchange exchange(Mechanism::login, side());
  const auto step = exchange.begin(true, "alice");
  EXPECT_EQ(step.action, Action::challenge);
  EXPECT_EQ(step.text, "Password:");
  EXPECT_EQ(exchange.respond("pencil").action, Action::verify);
  EXPECT_EQ(exchange.verified(true).action, Action::succeeded);
}

}  // namespace
}  // namespace ringmta::sasl
