// SPDX-License-Identifier: GPL-3.0-or-later
#include "ringmta/sasl/server_exchange.h"

#include <algorithm>

#include "ringmta/base/assert.h"
#include "ringmta/base/base64.h"
#include "ringmta/base/wipe.h"
#include "ringmta/sasl/prepare.h"
#include "scram_messages.h"

namespace ringmta::sasl {
namespace {

constexpr std::string_view kBindingName = "tls-exporter";
// In place of a password that SASLprep refuses: checked like another, so that it takes as long.
constexpr std::string_view kImpossiblePassword = "\x01";

}  // namespace

ServerExchange::ServerExchange(Mechanism mechanism, const ServerSide& side)
    : mechanism_(mechanism),
      plus_offered_(side.plus_offered),
      side_users_(side.users),
      binding_(side.binding) {
  RINGMTA_ASSERT(!takes_token(mechanism) && side.users != nullptr);
  append_base64(as_bytes(side.nonce), nonce_);
}

ServerExchange::~ServerExchange() { wipe(password_); }

ServerExchange::Step ServerExchange::challenge(State next) {
  state_ = next;
  return {Action::challenge, out_};
}

ServerExchange::Step ServerExchange::failed() {
  state_ = State::ended;
  user_ = nullptr;
  wipe(password_);
  return {};
}

ServerExchange::Step ServerExchange::begin(bool has_response, std::string_view response) {
  RINGMTA_ASSERT(state_ == State::fresh);
  state_ = mechanism_ == Mechanism::plain   ? State::password
           : mechanism_ == Mechanism::login ? State::name
                                            : State::client_first;
  if (has_response) return take_response(response);
  out_ = mechanism_ == Mechanism::login ? "Username:" : "";
  return challenge(state_);
}

ServerExchange::Step ServerExchange::respond(std::string_view response) {
  RINGMTA_ASSERT(state_ != State::fresh);
  return take_response(response);
}

ServerExchange::Step ServerExchange::take_response(std::string_view response) {
  switch (state_) {
    case State::name: {  // LOGIN
      const std::optional<std::string> name = prepare(response);
      if (!name) return failed();
      claim(*name);
      out_ = "Password:";
      return challenge(State::password);
    }
    case State::password:
      if (mechanism_ == Mechanism::plain) return plain(response);
      return check_password(response);
    case State::client_first:
      return scram_first(response);
    case State::client_final:
      return scram_final(response);
    case State::told:  // our proof was sent; the client has nothing to say to it
      if (!response.empty() || !proved_ || user_ == nullptr) return failed();
      state_ = State::ended;
      return {Action::succeeded, {}};
    case State::fresh:
    case State::ended:
      break;
  }
  return failed();
}

void ServerExchange::claim(std::string_view prepared_name) {
  claimed_ = prepared_name;
  user_ = side_users_->find(prepared_name);
  verifier_ = user_ != nullptr ? user_->verifier : side_users_->pretended(prepared_name);
}

// RFC 4616 2: [authzid] NUL authcid NUL passwd. To act for another is not possible here.
ServerExchange::Step ServerExchange::plain(std::string_view message) {
  const size_t first = message.find('\0');
  if (first == std::string_view::npos) return failed();
  const size_t second = message.find('\0', first + 1);
  if (second == std::string_view::npos) return failed();
  const std::string_view authorization = message.substr(0, first);
  const std::optional<std::string> name = prepare(message.substr(first + 1, second - first - 1));
  if (!name) return failed();
  claim(*name);
  if (!authorization.empty() && prepare(authorization) != name) user_ = nullptr;
  return check_password(message.substr(second + 1));
}

ServerExchange::Step ServerExchange::check_password(std::string_view text) {
  std::optional<std::string> prepared = prepare(text);
  password_ = prepared ? *prepared : std::string(kImpossiblePassword);
  if (prepared) wipe(*prepared);
  state_ = State::told;
  return {Action::verify, {}};
}

ServerExchange::Step ServerExchange::verified(bool matches) {
  RINGMTA_ASSERT(state_ == State::told && reveals_secret(mechanism_));
  wipe(password_);
  if (!matches || user_ == nullptr) return failed();
  state_ = State::ended;
  return {Action::succeeded, {}};
}

ServerExchange::Step ServerExchange::scram_first(std::string_view message) {
  const std::optional<ScramClientFirst> first = parse_client_first(message);
  if (!first) return failed();
  const bool plus = mechanism_ == Mechanism::scram_sha_256_plus;
  if (plus != (first->flag == BindingFlag::used)) return failed();
  if (plus && (first->binding_name != kBindingName || binding_.empty())) return failed();
  // The client knows channel binding and did not see it offered: somebody took it out (RFC 5802 6).
  if (first->flag == BindingFlag::declined && plus_offered_) return failed();
  const std::optional<std::string> raw = unescape_saslname(first->user);
  const std::optional<std::string> name = raw ? prepare(*raw) : std::nullopt;
  if (!name) return failed();
  claim(*name);
  if (!first->authorization.empty()) {
    const std::optional<std::string> other = unescape_saslname(first->authorization);
    if (!other || prepare(*other) != name) user_ = nullptr;
  }
  expected_binding_ = std::string(first->gs2_header) + (plus ? binding_ : "");
  client_first_bare_ = first->bare;
  whole_nonce_ = std::string(first->nonce) + nonce_;
  server_first_ = "r=" + whole_nonce_ + ",s=";
  append_base64(as_bytes(verifier_.salt), server_first_);
  server_first_ += ",i=" + std::to_string(verifier_.iterations);
  out_ = server_first_;
  return challenge(State::client_final);
}

ServerExchange::Step ServerExchange::scram_final(std::string_view message) {
  const std::optional<ScramClientFinal> last = parse_client_final(message);
  if (!last) return failed();
  const std::string auth_message =
      client_first_bare_ + "," + server_first_ + "," + std::string(last->without_proof);
  ScramKey proof;
  std::copy_n(as_bytes(last->proof).begin(), proof.size(), proof.begin());
  const ScramKey client_key = scram_proof(proof, scram_mac(verifier_.stored, auth_message));
  const ScramKey stored = scram_stored_key(client_key);
  proved_ = equal_in_constant_time(as_text(stored), as_text(verifier_.stored));
  proved_ = proved_ && last->nonce == whole_nonce_ && last->binding == expected_binding_;
  if (!proved_ || user_ == nullptr) return failed();
  out_ = "v=";
  append_base64(scram_mac(verifier_.server, auth_message), out_);
  return challenge(State::told);
}

}  // namespace ringmta::sasl
