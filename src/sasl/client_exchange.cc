// SPDX-License-Identifier: GPL-3.0-or-later
#include "ringmta/sasl/client_exchange.h"

#include "ringmta/base/assert.h"
#include "ringmta/base/base64.h"
#include "ringmta/base/wipe.h"
#include "ringmta/sasl/prepare.h"
#include "scram_messages.h"

namespace ringmta::sasl {
namespace {

constexpr size_t kExplanationMax = 512;
constexpr size_t kNonceMin = 15;  // octets, 20 characters
constexpr std::string_view kUnexpected = "the server asks for more than the mechanism has";
constexpr std::string_view kSeparator("\1", 1);
constexpr std::string_view kNul("\0", 1);

bool is_token(std::string_view text) {  // b64token and what is sent in its place (RFC 6750 2.1)
  if (text.empty()) return false;
  for (const char c : text) {
    if (c <= 0x20 || c >= 0x7F) return false;
  }
  return true;
}

bool without_controls(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return false;
  }
  return true;
}

}  // namespace

ScramKeys derive(const ScramWork& work) {
  return derive_scram_keys(work.password, work.salt, work.iterations);
}

ClientExchange::ClientExchange(Mechanism mechanism, const ClientLogin& login)
    : mechanism_(mechanism),
      user_(login.user),
      secret_(login.secret),
      authorization_(login.authorization),
      host_(login.host),
      binding_(login.binding),
      nonce_(login.nonce),
      port_(login.port) {}

ClientExchange::~ClientExchange() {
  wipe(secret_);
  wipe(out_);
}

ClientExchange::Step ClientExchange::respond(State next) {
  state_ = next;
  return {Action::respond, out_};
}

ClientExchange::Step ClientExchange::broken(std::string_view why) {
  state_ = State::broken;
  wipe(secret_);
  wipe(out_);
  return {Action::failed, why};
}

ClientExchange::Step ClientExchange::first() {
  RINGMTA_ASSERT(state_ == State::fresh && has_first());
  if (!without_controls(user_) || !without_controls(authorization_) || user_.empty()) {
    return broken("the user's name is empty or has control characters in it");
  }
  switch (mechanism_) {
    case Mechanism::plain:  // RFC 4616 2
      if (secret_.empty() || secret_.find('\0') != std::string::npos) {
        return broken("the password is empty or has a NUL in it");
      }
      for (const std::string_view piece :
           {std::string_view(authorization_), kNul, std::string_view(user_), kNul,
            std::string_view(secret_)}) {
        append_secret(out_, piece);
      }
      wipe(secret_);
      return respond(State::told);
    case Mechanism::scram_sha_256:
    case Mechanism::scram_sha_256_plus:
      return scram_first();
    case Mechanism::xoauth2:
      if (!is_token(secret_)) return broken("the token is empty or not printable ASCII");
      for (const std::string_view piece :
           {std::string_view("user="), std::string_view(user_), kSeparator,
            std::string_view("auth=Bearer "), std::string_view(secret_), kSeparator, kSeparator}) {
        append_secret(out_, piece);
      }
      wipe(secret_);
      return respond(State::told);
    case Mechanism::oauthbearer: {  // RFC 7628 3.1
      if (!is_token(secret_)) return broken("the token is empty or not printable ASCII");
      const std::string port = port_ == 0 ? "" : "port=" + std::to_string(port_) + "\1";
      const std::string host = host_.empty() ? "" : "host=" + host_ + "\1";
      const std::string header = "n,a=" + escape_saslname(user_) + ",\1";
      for (const std::string_view piece :
           {std::string_view(header), std::string_view(host), std::string_view(port),
            std::string_view("auth=Bearer "), std::string_view(secret_), kSeparator, kSeparator}) {
        append_secret(out_, piece);
      }
      wipe(secret_);
      return respond(State::told);
    }
    case Mechanism::login:
      break;
  }
  return broken(kUnexpected);
}

ClientExchange::Step ClientExchange::next(std::string_view challenge) {
  wipe(out_);
  switch (mechanism_) {
    case Mechanism::plain:
      return broken(kUnexpected);
    case Mechanism::login:  // what the challenges say is different everywhere; their order is not
      if (state_ == State::fresh) {
        if (user_.empty() || secret_.empty()) return broken("the name or the password is empty");
        out_ = user_;
        return respond(State::asked);
      }
      if (state_ != State::asked) return broken(kUnexpected);
      append_secret(out_, secret_);
      wipe(secret_);
      return respond(State::told);
    case Mechanism::scram_sha_256:
    case Mechanism::scram_sha_256_plus:
      if (state_ == State::started) return scram_server_first(challenge);
      if (state_ == State::proving) return scram_server_final(challenge);
      return broken(kUnexpected);
    case Mechanism::xoauth2:
    case Mechanism::oauthbearer:
      return token_challenge(challenge);
  }
  return broken(kUnexpected);
}

// The token was refused and the server says why; an answer without meaning gets its final reply.
ClientExchange::Step ClientExchange::token_challenge(std::string_view challenge) {
  if (state_ != State::told) return broken(kUnexpected);
  for (const char c : challenge.substr(0, kExplanationMax)) {
    explanation_ += c >= 0x20 && c < 0x7F ? c : '?';
  }
  if (mechanism_ == Mechanism::oauthbearer) out_ = kSeparator;  // RFC 7628 3.2.3
  return respond(State::asked);
}

ClientExchange::Step ClientExchange::scram_first() {
  const bool plus = mechanism_ == Mechanism::scram_sha_256_plus;
  if (plus && binding_.empty()) return broken("the TLS connection gives no channel binding");
  if (nonce_.size() < kNonceMin) return broken("the nonce is too short");
  std::optional<std::string> user = prepare(user_);
  std::optional<std::string> password = prepare(secret_);
  if (!user || !password) {
    if (password) wipe(*password);
    return broken("the name or the password has characters that SASLprep (RFC 4013) forbids");
  }
  work_.password = std::move(*password);
  wipe(secret_);
  gs2_header_ = plus ? "p=tls-exporter," : binding_.empty() ? "n," : "y,";
  if (!authorization_.empty()) gs2_header_ += "a=" + escape_saslname(authorization_);
  gs2_header_ += ',';
  std::string nonce_text;
  append_base64(as_bytes(nonce_), nonce_text);
  nonce_ = nonce_text;
  client_first_bare_ = "n=" + escape_saslname(*user) + ",r=" + nonce_;
  out_ = gs2_header_ + client_first_bare_;
  return respond(State::started);
}

ClientExchange::Step ClientExchange::scram_server_first(std::string_view challenge) {
  const std::optional<ScramServerFirst> first = parse_server_first(challenge);
  if (!first) return broken("the server's first SCRAM message is malformed");
  if (!first->nonce.starts_with(nonce_) || first->nonce.size() == nonce_.size()) {
    return broken("the server's SCRAM nonce does not continue ours");
  }
  if (first->iterations < kClientIterationsMin) {
    return broken("the server wants fewer SCRAM iterations than 4096 (RFC 7677 4)");
  }
  if (first->iterations > kClientIterationsMax) {
    return broken("the server wants more SCRAM iterations than 1000000");
  }
  server_first_ = challenge;
  server_nonce_ = first->nonce;
  work_.salt = first->salt;
  work_.iterations = first->iterations;
  state_ = State::asked;
  return {Action::derive, {}};
}

ClientExchange::Step ClientExchange::derived(const ScramKeys& keys) {
  RINGMTA_ASSERT(state_ == State::asked && is_scram(mechanism_));
  work_.password.wipe();
  const bool plus = mechanism_ == Mechanism::scram_sha_256_plus;
  std::string final_message = "c=";
  append_base64(as_bytes(gs2_header_ + (plus ? binding_ : "")), final_message);
  final_message += ",r=" + server_nonce_;
  const std::string auth_message = client_first_bare_ + "," + server_first_ + "," + final_message;
  const ScramKey stored = scram_stored_key(keys.client);
  const ScramKey proof = scram_proof(keys.client, scram_mac(stored, auth_message));
  server_signature_ = scram_mac(keys.server, auth_message);
  final_message += ",p=";
  append_base64(proof, final_message);
  out_ = std::move(final_message);
  return respond(State::proving);
}

ClientExchange::Step ClientExchange::scram_server_final(std::string_view challenge) {
  const std::optional<ScramServerFinal> last = parse_server_final(challenge);
  if (!last) return broken("the server's last SCRAM message is malformed");
  if (!last->error.empty()) {
    for (const char c : last->error.substr(0, kExplanationMax)) {
      explanation_ += c >= 0x20 && c < 0x7F ? c : '?';
    }
    return respond(State::asked);  // its final reply says no
  }
  if (!equal_in_constant_time(last->signature, as_text(server_signature_))) {
    return broken("the server could not prove that it knows the password");
  }
  return respond(State::proved);
}

std::string_view ClientExchange::finish() {
  const bool satisfied = is_scram(mechanism_) ? state_ == State::proved : state_ == State::told;
  state_ = State::broken;
  if (satisfied) return {};
  return is_scram(mechanism_) ? "the server accepted without proving that it knows the password"
                              : "the server accepted in the middle of the exchange";
}

}  // namespace ringmta::sasl
