// SPDX-License-Identifier: GPL-3.0-or-later
// The client's side of an authentication exchange, without I/O: PLAIN, LOGIN, SCRAM-SHA-256 and
// -PLUS, XOAUTH2, OAUTHBEARER. Octets in, octets out; base64 and lines are the protocol's affair.
//
// The insight: SCRAM's derivation costs milliseconds, and a server chooses how many. It is
// therefore no part of a step: the exchange says `derive`, its owner runs derive() wherever there
// is time (or takes the result of last time: same user, same salt, same iterations), and gives it
// back.
//
// Secrets are wiped when the exchange ends; errors never hold them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ringmta/sasl/mechanism.h"
#include "ringmta/sasl/scram.h"

namespace ringmta::sasl {

// More iterations than this are refused: a server must not be able to keep us busy.
inline constexpr uint32_t kClientIterationsMax = 1'000'000;
// RFC 7677 4 asks for as many at least. Fewer are refused: they would make the password cheap to
// guess for who sees the exchange.
inline constexpr uint32_t kClientIterationsMin = 4096;

struct ClientLogin {
  std::string_view user{};
  std::string_view secret{};         // the password; XOAUTH2 and OAUTHBEARER: the token
  std::string_view authorization{};  // to act for another; empty: for oneself
  std::string_view host{};           // OAUTHBEARER: whom the token is meant for; empty: not told
  uint16_t port = 0;
  // SCRAM-SHA-256-PLUS: the connection's "tls-exporter" octets (RFC 9266). With SCRAM-SHA-256:
  // given only when the server did not offer -PLUS; the client then says so, and a server that did
  // offer it knows that someone between has removed it.
  std::string_view binding{};
  std::string_view nonce{};  // SCRAM: at least 15 octets nobody can foretell
};

// What derive() needs. Holds the password.
struct ScramWork {
  SecretText password;  // prepared
  std::string salt;
  uint32_t iterations = 0;
};
ScramKeys derive(const ScramWork& work);  // on any thread

class ClientExchange final {
 public:
  enum class Action : uint8_t {
    respond,  // send `text` (which may be empty)
    derive,   // SCRAM: give derived() the keys of work()
    failed,   // `text` says why, for an operator; cancel the exchange ("*") and do not try again
  };
  struct Step {
    Action action = Action::respond;
    std::string_view text{};  // valid until the next call
  };

  // Copies what it needs of `login`.
  ClientExchange(Mechanism mechanism, const ClientLogin& login);
  ClientExchange(ClientExchange&&) noexcept = default;
  ClientExchange& operator=(ClientExchange&&) noexcept = default;
  ~ClientExchange();

  Mechanism mechanism() const { return mechanism_; }
  // The initial response. Of LOGIN there is none (has_first() is false): its server speaks first.
  bool has_first() const { return mechanism_ != Mechanism::login; }
  Step first();
  Step next(std::string_view challenge);
  const ScramWork& work() const { return work_; }
  Step derived(const ScramKeys& keys);

  // The server said that it is satisfied. Is the client? With SCRAM the server must have proved
  // that it knows the password too; if not, somebody else has answered. Empty: satisfied.
  std::string_view finish();
  // What a server of tokens said in its error challenge (JSON, printable, at most 512 octets), for
  // the operator; else empty.
  std::string_view explanation() const { return explanation_; }

 private:
  enum class State : uint8_t { fresh, started, asked, proving, proved, told, broken };
  Step respond(State next);
  Step broken(std::string_view why);
  Step scram_first();
  Step scram_server_first(std::string_view challenge);
  Step scram_server_final(std::string_view challenge);
  Step token_challenge(std::string_view challenge);

  Mechanism mechanism_;
  State state_ = State::fresh;
  std::string user_, secret_, authorization_, host_, binding_, nonce_;
  uint16_t port_ = 0;
  std::string gs2_header_, client_first_bare_, server_first_, server_nonce_;
  ScramWork work_;
  ScramKey server_signature_{};
  std::string out_;
  std::string explanation_;
};

}  // namespace ringmta::sasl
