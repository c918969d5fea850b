// SPDX-License-Identifier: GPL-3.0-or-later
// AUTH of a session: the exchange, the verification elsewhere, the reply that waits, and what a
// user may do afterwards.
//
// The machine waits whenever it is not answered at once, and the session reads nothing meanwhile;
// so a delay costs a timer, and a verification nothing at all of the shard's time.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>

#include "ringmta/base/log.h"
#include "server_impl.h"

namespace ringmta::server {

namespace {

constexpr std::string_view kInvalid = "535 5.7.8 Authentication credentials invalid";
constexpr std::string_view kBlocked =
    "454 4.7.0 Too many failed attempts, authentication is suspended; try again later";
constexpr std::string_view kBusy = "454 4.7.0 Too many log-ins at once, try again later";
constexpr std::string_view kSessions = "454 4.7.0 Too many sessions of this user";
constexpr std::string_view kEnough = "421 4.7.0 Too many failed attempts";
// With 5xx the client would return the mail that it may send once it has connected and logged in
// anew.
constexpr std::string_view kChanged =
    "421 4.7.0 What you may do here has changed, connect and log in again";
constexpr uint32_t kFailuresPerSession = 3;
constexpr Milliseconds kDelayFirst{250};

constexpr std::array kServed = {sasl::Mechanism::scram_sha_256_plus, sasl::Mechanism::scram_sha_256,
                                sasl::Mechanism::plain, sasl::Mechanism::login};

// As EHLO lists them, for each subset of kServed; sessions hold views of these.
const std::array<std::string, 1U << kServed.size()>& lists_of_mechanisms() {
  static const auto all_lists = [] {
    std::array<std::string, 1U << kServed.size()> lists;
    for (size_t set = 0; set < lists.size(); ++set) {
      for (size_t i = 0; i < kServed.size(); ++i) {
        if ((set >> i & 1) == 0) continue;
        if (!lists[set].empty()) lists[set] += ' ';
        lists[set] += sasl::name_of(kServed[i]);
      }
    }
    return lists;
  }();
  return all_lists;
}

std::string_view list_of(const std::vector<sasl::Mechanism>& mechanisms, bool binding) {
  size_t set = 0;
  for (size_t i = 0; i < kServed.size(); ++i) {
    const bool wanted =
        std::find(mechanisms.begin(), mechanisms.end(), kServed[i]) != mechanisms.end();
    if (wanted && (binding || kServed[i] != sasl::Mechanism::scram_sha_256_plus)) set |= 1U << i;
  }
  return lists_of_mechanisms()[set];
}

// For the log: what a stranger calls himself.
std::string shown(std::string_view claimed) {
  std::string text(claimed.substr(0, 64));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F || c == '"') c = '?';
  }
  return text;
}

}  // namespace

// What a client may do before it has said anything. `tls`: the session runs over TLS, with this
// channel binding; `starttls`: it could.
smtp::ServerAccess Server::Impl::access_for(const SocketAddress& client, std::string_view binding,
                                            bool tls, bool starttls) const {
  const AuthOptions& auth = options.auth;
  smtp::ServerAccess access;
  access.tls = tls;
  access.starttls = starttls && !tls;
  access.relay_allowed = any_contains(options.relay_networks, client);
  if (auth_shared == nullptr || auth.users == nullptr) return access;
  if (tls || any_contains(auth.clear_networks, client)) {
    access.mechanisms = list_of(auth.mechanisms, !binding.empty());
  } else {
    access.auth_after_tls = access.starttls;
  }
  access.auth_required = !access.relay_allowed;
  return access;
}

bool Server::Impl::blocked(uint64_t key, uint32_t failures_max) const {
  return failures_max != 0 &&
         auth_shared->failures.count(key, loop.now(), options.auth.block_for) >= failures_max;
}

void Server::Impl::auth_begin(Session& session, const smtp::ServerSession::Step& step) {
  forget_login(session);
  ++counters.auth_attempts;
  const uint64_t network = auth_shared->network_key(session.peer);
  if (blocked(network, options.auth.network_failures_max)) return auth_refuse(session, kBlocked);
  std::array<uint64_t, 3> nonce{};
  for (uint64_t& part : nonce) part = loop.io().secure_random();
  sasl::ServerSide server_side;
  server_side.users = options.auth.users;
  server_side.nonce = {reinterpret_cast<const char*>(nonce.data()), sizeof nonce};
  server_side.binding = session.channel_binding();
  server_side.plus_offered =
      sasl::lists(session.machine.access().mechanisms, sasl::Mechanism::scram_sha_256_plus);
  // The machine has looked it up in the list that access_for() made.
  const auto mechanism = sasl::mechanism_named(session.machine.auth_mechanism());
  RINGMTA_ASSERT(mechanism.has_value());
  session.login.exchange = std::make_unique<sasl::ServerExchange>(*mechanism, server_side);
  auth_go_on(session, session.login.exchange->begin(step.has_response, step.body));
}

void Server::Impl::auth_response(Session& session, std::string_view response) {
  auth_go_on(session, session.login.exchange->respond(response));
}

void Server::Impl::auth_cancel(Session& session) { session.login.exchange.reset(); }

void Server::Impl::auth_go_on(Session& session, sasl::ServerExchange::Step step) {
  using Action = sasl::ServerExchange::Action;
  sasl::ServerExchange& exchange = *session.login.exchange;
  if (step.action == Action::verify) {
    const auto key = sasl::CredentialCache::key_of(exchange.password(), exchange.verifier());
    const std::optional<bool> known = credentials.find(key);
    if (known != true && user_is_blocked(session)) return auth_refuse(session, kBlocked);
    if (!known) return auth_verify(session, key);
    step = exchange.verified(*known);
  } else if (step.action == Action::challenge && sasl::is_scram(exchange.mechanism()) &&
             user_is_blocked(session)) {
    return auth_refuse(session, kBlocked);
  }
  switch (step.action) {
    case Action::challenge:
      return session.machine.auth_challenge(as_bytes(step.text));
    case Action::succeeded:
      return auth_succeeded(session);
    case Action::failed:
    case Action::verify:
      return auth_failed(session);
  }
}

bool Server::Impl::user_is_blocked(const Session& session) const {
  const std::string& claimed = session.login.exchange->claimed();
  if (claimed.empty()) return false;
  const uint64_t key =
      AuthShared::joined(auth_shared->network_key(session.peer), auth_shared->user_key(claimed));
  return blocked(key, options.auth.failures_max);
}

void Server::Impl::auth_verify(Session& session, const sasl::CredentialCache::Key& key) {
  const sasl::ServerExchange& exchange = *session.login.exchange;
  auto check = std::make_unique<sasl::PasswordCheck>();
  check->password = exchange.password();
  check->verifier = exchange.verifier();
  check->key = key;
  check->tag = ring::Token::make(shard::kind(shard::Owner::server), session.slot).value;
  session.login.verifying = key;
  if (auth_shared->verifier.submit(std::move(check), &auth_inbox, AuthInbox::deliver)) return;
  session.login.verifying.reset();
  ++counters.auth_deferred;
  auth_refuse(session, kBusy);
}

// Stage: what the verifying thread has found out.
void Server::Impl::auth_verdicts() {
  if (!auth_inbox.waiting()) return;
  for (const auto& check : auth_inbox.take()) {
    credentials.remember(check->key, check->matches);
    Session* session = sessions.find(ring::Token{check->tag}.slot());
    if (session == nullptr || session->login.exchange == nullptr) continue;
    if (session->login.verifying != check->key || session->closing) continue;
    session->login.verifying.reset();
    auth_go_on(*session, session->login.exchange->verified(check->matches));
    auth_answered(*session);
  }
}

void Server::Impl::auth_succeeded(Session& session) {
  Login& login = session.login;
  const sasl::User& user = *login.exchange->user();
  if (!user.usage->enter(user.sessions_max)) {
    ++counters.auth_deferred;
    return auth_refuse(session, kSessions);
  }
  login.users = login.exchange->users();
  login.user = &user;
  login.exchange.reset();
  const uint64_t key =
      AuthShared::joined(auth_shared->network_key(session.peer), auth_shared->user_key(user.name));
  auth_shared->failures.forget(key);
  ++counters.auth_successes;
  smtp::ServerAccess access = session.machine.access();
  grant(user, access);
  session.machine.auth_succeeded(access);
}

// What a log-in opens.
void Server::Impl::grant(const sasl::User& user, smtp::ServerAccess& access) {
  access.relay_allowed = true;
  access.ask_sender = !user.senders.empty() || user.messages_per_hour != 0;
}

void Server::Impl::auth_failed(Session& session) {
  const AuthOptions& auth = options.auth;
  Login& login = session.login;
  const uint64_t network = auth_shared->network_key(session.peer);
  const std::string claimed = login.exchange->claimed();
  const std::string_view mechanism = sasl::name_of(login.exchange->mechanism());
  login.exchange.reset();
  ++login.failures;
  ++counters.auth_failures;
  const auto add = [&](uint64_t key, uint32_t keep_from) {
    return auth_shared->failures.add(key, loop.now(), auth.block_for, keep_from);
  };
  uint32_t failures = add(network, auth.network_failures_max);
  if (std::has_single_bit(failures)) {  // 1, 2, 4, ...: a flood does not fill the log
    log(LogLevel::warning, "AUTH {} of \"{}\" from {} failed ({} failures of its network)",
        mechanism, shown(claimed), session.client, failures);
  }
  if (!claimed.empty()) {
    const uint64_t user = auth_shared->user_key(claimed);
    failures = std::max({failures, add(user, UINT32_MAX),
                         add(AuthShared::joined(network, user), auth.failures_max)});
  }
  const int64_t doublings = std::min<uint32_t>(failures - 1, 20);
  const Milliseconds delay{std::min(kDelayFirst.count << doublings, auth.delay_max.count)};
  login.late_reply = login.failures >= kFailuresPerSession ? kEnough : kInvalid;
  if (delay.count == 0) return auth_reply(session);
  login.reply_at = loop.now() + delay;
  arm_timer(session);
}

// A refusal that says nothing about name or password.
void Server::Impl::auth_refuse(Session& session, std::string_view text) {
  session.login.exchange.reset();
  if (text == kBlocked) ++counters.auth_blocked;
  session.login.late_reply = text;
  auth_reply(session);
}

void Server::Impl::auth_reply(Session& session) {
  session.login.reply_at = Monotonic::never();
  session.machine.auth_failed(session.login.late_reply);
}

// Of on_timer(): true when the reply that waited was given.
bool Server::Impl::auth_reply_due(Session& session) {
  if (session.login.reply_at > loop.now()) return false;
  auth_reply(session);
  auth_answered(session);
  return true;
}

// The machine was answered outside of process(): it may have something to tell, and reads again.
void Server::Impl::auth_answered(Session& session) {
  session.active_at = loop.now();
  touch(session);
}

void Server::Impl::forget_login(Session& session) {
  if (session.login.user != nullptr) session.login.user->usage->leave();
  const uint32_t failures = session.login.failures;
  session.login = {};
  session.login.failures = failures;
}

// After a reload: would the session be given what it has, if it came now? If so it goes on with
// what the rules say now.
bool Server::Impl::still_permitted(Session& session) {
  const smtp::ServerAccess& before = session.machine.access();
  smtp::ServerAccess access =
      access_of(session.peer, session.tls.get(), session.roots == client_roots);
  Login& login = session.login;
  if (login.user != nullptr) {
    if (access.mechanisms.empty() || options.auth.users == nullptr) return false;
    const sasl::User* user = options.auth.users->find(login.user->name);
    // Another password makes the old one worthless for those who are in, too.
    if (user == nullptr || user->verifier != login.user->verifier) return false;
    RINGMTA_ASSERT(user->usage == login.user->usage);  // where this session is counted
    login.user = user;
    login.users = options.auth.users;
    grant(*user, access);
  } else if (access.auth_required) {
    return false;
  }
  if (access.tls_required && !access.tls) return false;
  if (before.relay_allowed && !access.relay_allowed) return false;
  session.machine.decide_anew(access);
  return true;
}

void Server::Impl::judge_sender(Session& session) {
  if (session.machine.access().rules != options.session.rules && !still_permitted(session)) {
    ++counters.senders_refused;
    return session.machine.refuse_sender(kChanged);
  }
  if (session.login.user == nullptr) return session.machine.accept_sender();
  const sasl::User& user = *session.login.user;
  if (!user.may_send_as(session.machine.envelope().reverse_path)) {
    ++counters.senders_refused;
    return session.machine.refuse_sender("553 5.7.1 You may not send with this sender address");
  }
  if (!user.usage->may_send(user.messages_per_hour, loop.io().wall())) {
    ++counters.senders_refused;
    return session.machine.refuse_sender("450 4.7.1 Too many messages this hour, try again later");
  }
  session.machine.accept_sender();
}

// Whose message it is; null: nobody has logged in.
const sasl::User* Server::Impl::user_of(const Session& session) {
  return session.machine.authenticated() ? session.login.user : nullptr;
}

}  // namespace ringmta::server
