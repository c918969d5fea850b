// SPDX-License-Identifier: GPL-3.0-or-later
// The server's side of an authentication exchange, without I/O: PLAIN, LOGIN, SCRAM-SHA-256 and
// -PLUS.
//
// A password sent as it is has to be verified by a derivation that takes milliseconds: the exchange
// says `verify` and its owner answers by verified(), later and from wherever it was done. SCRAM
// needs a few HMACs and answers at once.
//
// An unknown user is answered like a known one, octet for octet of the same shape and after the
// same work, and refused at the end in the same words.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "ringmta/sasl/mechanism.h"
#include "ringmta/sasl/users.h"

namespace ringmta::sasl {

struct ServerSide {
  std::shared_ptr<const Users> users;
  std::string_view nonce;     // at least 15 octets nobody can foretell
  std::string_view binding;   // the connection's "tls-exporter" octets; empty: it has none
  bool plus_offered = false;  // SCRAM-SHA-256-PLUS is among what EHLO listed
};

class ServerExchange final {
 public:
  enum class Action : uint8_t {
    challenge,  // send `text`
    verify,     // PLAIN, LOGIN: answer by verified()
    succeeded,  // user() has authenticated
    failed,     // wrong name, password, proof or form: 535 5.7.8
  };
  struct Step {
    Action action = Action::failed;
    std::string_view text{};  // valid until the next call
  };

  ServerExchange(Mechanism mechanism, const ServerSide& side);
  ServerExchange(const ServerExchange&) = delete;
  ServerExchange& operator=(const ServerExchange&) = delete;
  ~ServerExchange();

  // `response`: the client's initial one, if it sent any.
  Step begin(bool has_response, std::string_view response);
  Step respond(std::string_view response);

  // After `verify`: what is to be checked against what.
  const std::string& password() const { return password_; }  // prepared
  const ScramVerifier& verifier() const { return verifier_; }
  Step verified(bool matches);

  // As the client gave it, for throttling and the log (it may be nobody's); empty: not yet known.
  const std::string& claimed() const { return claimed_; }
  // Who it is; null: not authenticated, or there is no such user.
  const User* user() const { return user_; }
  const std::shared_ptr<const Users>& users() const { return side_users_; }
  Mechanism mechanism() const { return mechanism_; }

 private:
  enum class State : uint8_t { fresh, name, password, client_first, client_final, told, ended };
  Step challenge(State next);
  Step failed();
  Step take_response(std::string_view response);
  Step plain(std::string_view message);
  Step check_password(std::string_view text);
  Step scram_first(std::string_view message);
  Step scram_final(std::string_view message);
  void claim(std::string_view prepared_name);

  Mechanism mechanism_;
  State state_ = State::fresh;
  bool plus_offered_;
  bool proved_ = false;
  std::shared_ptr<const Users> side_users_;
  const User* user_ = nullptr;
  ScramVerifier verifier_;  // of the user, or the pretended one
  std::string nonce_, binding_, claimed_, password_;
  std::string expected_binding_, client_first_bare_, server_first_, whole_nonce_;
  std::string out_;
};

}  // namespace ringmta::sasl
