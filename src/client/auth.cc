// SPDX-License-Identifier: GPL-3.0-or-later
// Who we are, told to a next hop that wants to know: which mechanism, which secret, and what a
// refusal means (RFC 4954).
//
// The insight: authentication stands before the first job is taken, so a wrong password can never
// cost a message. It is a trouble of the host, like a refused connection: the site waits and is
// probed, and the operator reads why.
//
// Secret and SCRAM keys come from the helper thread (client/credentials.h); a connection that waits
// for one is on a list that a timer looks at every kLookAgain.
//
// Mechanisms: of those offered the strongest that the secret is for, or the configured ones in
// their order; what shows the secret only over TLS, unless that is permitted. One that the peer
// does not know after all (504, 534, 538) makes way for the next. A refused secret (535) is fetched
// anew; when that gives another, it is tried on the same connection, once.
#include <algorithm>
#include <array>

#include "pools_impl.h"
#include "ringmta/base/base64.h"
#include "ringmta/base/wipe.h"

namespace ringmta::client {
namespace {

using sasl::Mechanism;

constexpr Milliseconds kLookAgain{20};
constexpr uint32_t kRefusalsMax = 2;  // of a secret on one connection
constexpr size_t kQuotedMin = 8;      // octets of what we said: so many are no chance
constexpr std::array kWithToken = {Mechanism::oauthbearer, Mechanism::xoauth2};
constexpr std::array kWithPassword = {Mechanism::scram_sha_256_plus, Mechanism::scram_sha_256,
                                      Mechanism::plain, Mechanism::login};
constexpr smtp::EnhancedStatus kWrongCredentials{4, 7, 8};  // RFC 4954 6, for now
constexpr smtp::EnhancedStatus kNotSupported{4, 7, 4};      // RFC 3463 3.8
constexpr smtp::EnhancedStatus kNotNow{4, 7, 0};            // RFC 4954 6: temporary failure

uint32_t bit_of(Mechanism mechanism) { return 1U << static_cast<uint32_t>(mechanism); }

// The mechanism is the trouble, not the secret.
bool refuses_mechanism(uint16_t code) {
  return code == 500 || code == 502 || code == 504 || code == 534 || code == 538;
}

std::string base64_of(std::string_view text) {
  std::string encoded;
  encoded.reserve(base64_length(text.size()));
  append_base64(as_bytes(text), encoded);
  return encoded;
}

// A line each.
void note_said(SecretText& said, std::string_view line) {
  const size_t before = said.size();
  said.resize(before + line.size() + 1);
  std::ranges::copy(line, said.data() + before);
  said.data()[before + line.size()] = '\n';
}

}  // namespace

// ---- which mechanism

// Null: none that could be used is offered.
std::optional<Mechanism> Pools::Impl::choose_mechanism(const Connection& connection,
                                                       const AuthOptions& how) {
  const smtp::ClientSession& session = connection.session;
  const std::string& offered = session.capabilities().auth;
  const auto fits = [&](Mechanism mechanism) {
    if ((connection.auth->tried & bit_of(mechanism)) != 0) return false;
    if (!sasl::lists(offered, mechanism) || sasl::takes_token(mechanism) != how.has_token()) {
      return false;
    }
    if (mechanism == Mechanism::scram_sha_256_plus &&
        (connection.secure == nullptr || !connection.secure->session.facts().has_exporter)) {
      return false;
    }
    return !sasl::reveals_secret(mechanism) || session.secure() || how.without_tls;
  };
  if (!how.mechanisms.empty()) {
    for (const std::string& name : how.mechanisms) {
      const auto mechanism = sasl::mechanism_named(name);
      if (mechanism && fits(*mechanism)) return mechanism;
    }
    return std::nullopt;
  }
  const std::span<const Mechanism> all = how.has_token()
                                             ? std::span<const Mechanism>(kWithToken)
                                             : std::span<const Mechanism>(kWithPassword);
  for (const Mechanism mechanism : all) {
    if (fits(mechanism)) return mechanism;
  }
  return std::nullopt;
}

std::string Pools::Impl::why_no_mechanism(const Connection& connection, const AuthOptions& how) {
  const std::string& offered = connection.session.capabilities().auth;
  if (!connection.auth->refusal.empty()) return connection.auth->refusal;
  if (offered.empty()) return "it does not offer AUTH";
  if (!connection.session.secure() && !how.without_tls) {
    return "what it offers to authenticate (" + offered +
           ") would show the secret, and the connection is in clear text";
  }
  return "it offers no way to authenticate that could be used (" + offered + ")";
}

// ---- the owner's turn

// A reply to AUTH as it may be shown. One that quotes a line of ours (as some do that do not know
// AUTH) would put the secret into the log and into every notification.
std::string Pools::Impl::line_to_show(const Connection& connection, const smtp::Reply& reply) {
  std::string line = reply.line();
  if (connection.auth == nullptr) return line;
  std::string_view said = connection.auth->said.view();
  while (!said.empty()) {
    const std::string_view ours = said.substr(0, said.find('\n'));
    said.remove_prefix(ours.size() + 1);
    const size_t length = std::min(kQuotedMin, ours.size());
    for (size_t at = 0; length > 0 && at + length <= ours.size(); ++at) {
      if (line.find(ours.substr(at, length)) == std::string::npos) continue;
      wipe(line);
      return fmt::format("{} (it quotes what was said to authenticate)", reply.code);
    }
  }
  return line;
}

void Pools::Impl::authenticate(Connection& connection, const smtp::Reply* refusal) {
  const AuthOptions& how = *security_of(*connection.site).options.auth;
  if (connection.auth == nullptr) connection.auth = std::make_unique<Authentication>();
  Authentication& auth = *connection.auth;
  if (refusal != nullptr) {
    auth.refusal = line_to_show(connection, *refusal);
    auth.said.wipe();
    if (!auth.problem.empty()) {
      auth_failed(connection, auth.problem, kWrongCredentials);
      return;
    }
    if (refusal->transient()) {
      auth_failed(connection, auth.refusal, kNotNow);
      return;
    }
    if (auth.exchange && !auth.exchange->explanation().empty()) {
      auth.refusal += fmt::format(" ({})", auth.exchange->explanation());
    }
    if (!refuses_mechanism(refusal->code)) {
      auth.refused_number = auth.secret_number;
      auth.tried = 0;
      credentials->refused(how, auth.secret_number);
      if (++auth.refusals == kRefusalsMax) {
        auth_failed(connection, auth.refusal, kWrongCredentials);
        return;
      }
    }
  }
  begin_exchange(connection);
}

void Pools::Impl::begin_exchange(Connection& connection) {
  const AuthOptions& how = *security_of(*connection.site).options.auth;
  Authentication& auth = *connection.auth;
  const std::optional<Mechanism> mechanism = choose_mechanism(connection, how);
  if (!mechanism) {
    auth_failed(connection, why_no_mechanism(connection, how), kNotSupported);
    return;
  }
  Credentials::Answer answer = credentials->secret(how);
  if (answer.state == Credentials::Answer::State::fetching) {
    wait_for_credentials(connection, Authentication::Wants::secret);
    return;
  }
  if (answer.state == Credentials::Answer::State::failed) {
    auth_failed(connection, "our own secret cannot be had: " + answer.problem, kWrongCredentials);
    return;
  }
  if (answer.number == auth.refused_number) {  // fetched anew, and the same
    wipe(answer.secret);
    auth_failed(connection, auth.refusal, kWrongCredentials);
    return;
  }
  auth.tried |= bit_of(*mechanism);
  auth.secret_number = answer.number;
  start_exchange(connection, *mechanism, answer.secret);
  wipe(answer.secret);
}

void Pools::Impl::start_exchange(Connection& connection, Mechanism mechanism,
                                 std::string_view secret) {
  const AuthOptions& how = *security_of(*connection.site).options.auth;
  Authentication& auth = *connection.auth;
  std::array<uint64_t, 3> nonce;
  for (uint64_t& part : nonce) part = loop.io().secure_random();
  sasl::ClientLogin login;
  login.user = how.user;
  login.secret = secret;
  login.host = name_without_port(connection.host->name);
  login.port = connection.host->address.port();
  login.nonce = {reinterpret_cast<const char*>(nonce.data()), sizeof nonce};
  if (connection.secure != nullptr && connection.secure->session.facts().has_exporter) {
    const bool plus =
        sasl::lists(connection.session.capabilities().auth, Mechanism::scram_sha_256_plus);
    if (mechanism == Mechanism::scram_sha_256_plus || !plus) {
      login.binding = as_text(Bytes(connection.secure->session.facts().exporter));
    }
  }
  auth.exchange.emplace(mechanism, login);
  const std::string_view name = sasl::name_of(mechanism);
  touch(connection);
  if (!auth.exchange->has_first()) {
    connection.session.authenticate(name, std::nullopt);
    return;
  }
  const sasl::ClientExchange::Step step = auth.exchange->first();
  if (step.action == sasl::ClientExchange::Action::failed) {
    auth_failed(connection, std::string(step.text), kWrongCredentials);
    return;
  }
  std::string encoded = base64_of(step.text);
  // "AUTH ", a blank, CRLF
  const bool fits = name.size() + encoded.size() + 8 <= smtp::ClientSession::kAuthLineMax;
  note_said(auth.said, encoded);
  if (fits) {
    connection.session.authenticate(name, encoded);
    wipe(encoded);
  } else {
    connection.session.authenticate(name, std::nullopt);
    auth.held_first = std::move(encoded);
  }
}

void Pools::Impl::on_challenge(Connection& connection, const smtp::Reply& reply) {
  Authentication& auth = *connection.auth;
  touch(connection);
  if (!auth.held_first.empty()) {
    connection.session.answer(auth.held_first);
    wipe(auth.held_first);
    return;
  }
  std::string challenge;
  if (!append_base64_decoded(reply.text, challenge)) {
    auth.problem = "its challenge is not base64";
    connection.session.cancel_authentication();
    return;
  }
  answer_challenge(connection, auth.exchange->next(challenge));
}

void Pools::Impl::answer_challenge(Connection& connection, const sasl::ClientExchange::Step& step) {
  using Action = sasl::ClientExchange::Action;
  Authentication& auth = *connection.auth;
  switch (step.action) {
    case Action::respond: {
      std::string encoded = base64_of(step.text);
      note_said(auth.said, encoded);
      connection.session.answer(encoded);
      wipe(encoded);
      return;
    }
    case Action::derive:
      if (const auto keys = credentials->keys(auth.exchange->work()); keys != nullptr) {
        answer_challenge(connection, auth.exchange->derived(*keys));
      } else {
        wait_for_credentials(connection, Authentication::Wants::keys);
      }
      return;
    case Action::failed:
      auth.problem = step.text;
      connection.session.cancel_authentication();
      return;
  }
}

// False: it ends here.
bool Pools::Impl::on_authenticated(Connection& connection) {
  const std::string_view problem = connection.auth->exchange->finish();
  if (!problem.empty()) {
    auth_failed(connection, std::string(problem), kWrongCredentials);
    return false;
  }
  ++counters.authenticated;
  connection.auth.reset();
  return true;
}

void Pools::Impl::auth_failed(Connection& connection, std::string_view why,
                              smtp::EnhancedStatus status) {
  ++counters.auth_failures;
  const std::string reason =
      fmt::format("{}: authentication failed: {}", connection.host->text(), why);
  warn(reason);
  fail_opening(connection, reason, status);
}

// ---- waiting for the helper thread

void Pools::Impl::wait_for_credentials(Connection& connection, Authentication::Wants what) {
  connection.auth->wants = what;
  if (!connection.unauthenticated.linked()) unauthenticated.push_back(connection);
  if (!auth_timer.armed()) loop.timers().arm(auth_timer, now() + kLookAgain);
}

void Pools::Impl::look_for_credentials() {
  IntrusiveList<Connection, &Connection::unauthenticated> waiting_now;
  while (Connection* one = unauthenticated.pop_front()) waiting_now.push_back(*one);
  while (Connection* connection = waiting_now.pop_front()) {
    Authentication& auth = *connection->auth;
    const Authentication::Wants wanted = auth.wants;
    auth.wants = Authentication::Wants::nothing;
    if (wanted == Authentication::Wants::secret) {
      begin_exchange(*connection);
    } else if (const auto keys = credentials->keys(auth.exchange->work()); keys != nullptr) {
      answer_challenge(*connection, auth.exchange->derived(*keys));
    } else {
      wait_for_credentials(*connection, wanted);
    }
    if (connection->state != Connection::State::closing) touch(*connection);
  }
}

}  // namespace ringmta::client
