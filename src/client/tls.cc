// SPDX-License-Identifier: GPL-3.0-or-later
// TLS on a connection: octets pass through tls::Session on their way to and from the protocol
// machine.
//
// The insight: protocol machine and output know nothing of it. What is received becomes plaintext
// before feed() sees it, what is sent is sealed in transmit's place, and between STARTTLS and the
// second EHLO the machine simply waits. A connection in clear text pays for it with a null pointer.
//
// Handshakes are the only long work (0.1 to 1 ms a step), so the shard does a few steps a turn;
// connections beyond that wait in a row, with what they received held back by the Io.
//
// How it fails: opportunistic mail goes in clear text over a new connection, and the host's TLS
// counts as broken for a while; under any other policy the host counts as failed (4.7.5). Before
// either, what failed with a resumed session is tried with a full handshake.
#include <algorithm>

#include "pools_impl.h"

namespace ringmta::client {
namespace {

constexpr size_t kSealedMax = 65'536;      // octets of plaintext sealed for one send
constexpr size_t kSealedKept = 16 * 1024;  // of the memory a connection keeps for it
constexpr uint16_t kImplicitPort = 465;

bool same_certificate(const tls::CertificateText& a, const tls::CertificateText& b) {
  return a.chain_pem == b.chain_pem && a.key_pem == b.key_pem;
}

bool same_terms(const Security& a, const Security& b) {
  return a.tls.policy == b.tls.policy && a.tls.mode == b.tls.mode && a.tls.name == b.tls.name &&
         a.tls.roots_pem == b.tls.roots_pem &&
         same_certificate(a.tls.certificate, b.tls.certificate) && a.auth == b.auth;
}

}  // namespace

// ---- what is to be done

// Reading roots takes milliseconds, so equal ones are read once.
SecurityState Pools::Impl::prepare(const Security& security) {
  SecurityState state{security, nullptr, {}};
  const TlsOptions& tls = security.tls;
  const bool roots = tls.policy == TlsPolicy::verified;
  const auto same = [&](const SecurityState& other) {
    const bool other_roots = other.options.tls.policy == TlsPolicy::verified;
    return other.context != nullptr && roots == other_roots &&
           other.options.auth.has_value() == security.auth.has_value() &&
           (!roots || other.options.tls.roots_pem == tls.roots_pem) &&
           same_certificate(other.options.tls.certificate, tls.certificate);
  };
  for (const SecurityState& other : securities) {
    if (!same(other)) continue;
    state.context = other.context;
    return state;
  }
  tls::ClientOptions how;
  if (roots) how.roots_pem = tls.roots_pem;
  how.certificate = tls.certificate;
  how.channel_binding = security.auth.has_value();
  how.sessions_max = options.tls.sessions_max;
  how.budget = &handshakes;
  auto made = tls::ClientContext::create(how);
  if (made) {
    state.context = std::move(*made);
  } else {
    state.problem = made.error().message;
    log(LogLevel::error, "TLS to next hops: {}", state.problem);
  }
  return state;
}

// The default first, then the rules, then the routes.
void Pools::Impl::prepare_all() {
  std::vector<SecurityState> made;
  made.reserve(1 + options.rules.size() + options.routes.size());
  const auto add = [&](const Security& security) {
    made.push_back(prepare(security));
    securities.push_back(made.back());  // the next one may be like it
  };
  add(options.mx);
  for (const SecurityRule& rule : options.rules) add(rule.security);
  for (const Security& route : options.routes) add(route);
  securities = std::move(made);
}

// Connections made under other terms end when they have finished what they have.
void Pools::Impl::change_security() {
  const std::vector<SecurityState> before = securities;
  prepare_all();
  credentials->forget();
  connections.for_each([&](Connection& connection, SlotHandle) {
    const size_t index = security_index(*connection.site);
    if (index < before.size() && same_terms(before[index].options, securities[index].options)) {
      return;
    }
    if (connection.state == Connection::State::ready) {
      leave(connection);
    } else if (connection.state == Connection::State::connecting ||
               connection.state == Connection::State::opening) {
      touch(*connection.site);
      close(connection, ring::CloseMode::abort);
    }
  });
}

size_t Pools::Impl::security_index(const SitePool& pool) const {
  const queue::Site& site = queue.site(pool.id);
  if (site.route == queue::kNoRoute) return site.rule < options.rules.size() ? 1 + site.rule : 0;
  return site.route < options.routes.size() ? 1 + options.rules.size() + site.route : 0;
}

const SecurityState& Pools::Impl::security_of(const SitePool& pool) const {
  return securities[security_index(pool)];
}

bool Pools::Impl::is_implicit(const SecurityState& security, const Host& host) {
  const TlsMode mode = security.options.tls.mode;
  if (host.address.family() == AF_UNIX) return false;
  return mode == TlsMode::implicit ||
         (mode == TlsMode::by_port && host.address.port() == kImplicitPort);
}

smtp::ClientOpening Pools::Impl::opening_for(const SecurityState& security, const Host& host) {
  smtp::ClientOpening opening;
  const std::optional<AuthOptions>& auth = security.options.auth;
  opening.authenticate = auth.has_value();
  if (is_implicit(security, host)) return opening;
  TlsPolicy policy = security.options.tls.policy;
  if (auth && !auth->without_tls && policy == TlsPolicy::opportunistic) {
    policy = TlsPolicy::required;
  }
  switch (policy) {
    case TlsPolicy::none:
      break;
    case TlsPolicy::opportunistic:
      if (security.context == nullptr || host.address.family() == AF_UNIX) break;
      if (!tls_memory.is_broken(host.address, now())) opening.starttls = smtp::StartTls::offered;
      break;
    case TlsPolicy::required:
    case TlsPolicy::verified:
      opening.starttls = smtp::StartTls::always;
      break;
  }
  return opening;
}

// ---- handshake

void Pools::Impl::begin_tls(Connection& connection) {
  const SecurityState& security = security_of(*connection.site);
  if (security.context == nullptr) {
    fail_opening(connection, connection.host->text() + ": " + security.problem, kTlsFailed);
    return;
  }
  const TlsOptions& how = security.options.tls;
  const std::string scope = connection.host->address.text();
  tls::Peer peer;
  peer.name = how.name.empty() ? name_without_port(connection.host->name) : how.name;
  peer.verification =
      how.policy == TlsPolicy::verified ? tls::Verification::full : tls::Verification::none;
  peer.scope = scope;
  connection.secure = std::make_unique<SecureStream>(tls::Session(security.context, peer));
  receive_sealed(connection, {});
}

// All that comes over TLS.
void Pools::Impl::receive_sealed(Connection& connection, Bytes data) {
  using Action = tls::Session::Action;
  while (connection.state != Connection::State::closing) {
    const tls::Session::Step step = connection.secure->session.step(data);
    data = data.subspan(step.consumed);
    switch (step.action) {
      case Action::more:
        return;
      case Action::handshaken:
        ++counters.tls_handshakes;
        if (connection.secure->session.facts().resumed) ++counters.tls_resumed;
        connection.session.secured();
        break;
      case Action::plaintext:
        feed(connection, step.plaintext);
        break;
      case Action::yielded:
        postpone(connection, data);
        return;
      case Action::closed:
        on_ended(connection, 0);
        return;
      case Action::failed:
        tls_broken(connection, connection.secure->session.error(), false);
        return;
    }
  }
}

void Pools::Impl::postpone(Connection& connection, Bytes rest) {
  if (!connection.paused) loop.io().pause(connection.stream, rest);
  connection.paused = true;
  ++counters.tls_postponed;
  postponed.push_back(connection);
}

// What the last turn had no time for. What the Io held back comes with the next turn's events.
void Pools::Impl::resume_handshakes() {
  handshakes.left = options.tls.handshake_steps_per_turn;
  if (postponed.empty()) return;
  Postponed now_due;
  while (Connection* connection = postponed.pop_front()) now_due.push_back(*connection);
  while (Connection* connection = now_due.pop_front()) {
    if (handshakes.left == 0) {
      postponed.push_back(*connection);
      continue;
    }
    connection->paused = false;
    loop.io().read(connection->stream);
    receive_sealed(*connection, {});
    touch(*connection);
  }
}

bool Pools::Impl::in_handshake(const Connection& connection) {
  return connection.secure != nullptr && !connection.secure->session.handshaken();
}

// Between STARTTLS and the end of the handshake.
bool Pools::Impl::turning_to_tls(const Connection& connection) {
  return connection.state == Connection::State::opening && awaited(connection) == smtp::Phase::tls;
}

// TLS cannot go on. `gone`: nobody is there to be told.
void Pools::Impl::tls_broken(Connection& connection, std::string_view why, bool gone) {
  connection.send_failed = connection.send_failed || gone;
  const std::string reason = connection.host->text() + ": " + std::string(why);
  if (!connection.send_failed && !connection.sending && !connection.output_open) {
    send_sealed(connection);
    connection.alerted = connection.sending;
  }
  connection.send_failed = true;  // no words of ours after the alert
  if (connection.state == Connection::State::opening) {
    end_opening(connection, reason, kTlsFailed);
  } else {
    lose(connection, why, ring::CloseMode::abort);
  }
}

// It broke before it was up: another one is opened in another way, or the host counts as failed.
void Pools::Impl::end_opening(Connection& connection, const std::string& reason,
                              smtp::EnhancedStatus status) {
  if (!open_otherwise(connection, awaited(connection), reason)) {
    fail_opening(connection, reason, status);
  }
}

// True: the connection ends, the next one does without what may be to blame, and nothing is held
// against the host. First that is a session which was resumed, then TLS itself.
//
// A handshake that is done proves little. With TLS 1.3 ours ends before the peer has looked at our
// certificate (or at its absence, RFC 8446 4.4.2.4), and there are servers and devices that fail
// only at what comes then. So TLS works when the EHLO in it was answered.
bool Pools::Impl::open_otherwise(Connection& connection, smtp::Phase awaited,
                                 std::string_view reason) {
  const bool in_tls = connection.secure != nullptr;
  const bool unproven = awaited == smtp::Phase::tls || (in_tls && awaited == smtp::Phase::ehlo);
  if (unproven) ++counters.tls_failures;
  const bool resumes = in_tls && connection.secure->session.resumes();
  if (in_tls) connection.secure->session.forget();
  Host& host = *connection.host;
  if (host.proven && host.over_tls > 0) return false;  // it is not TLS, or not that of all of them
  if (resumes) {
    log(LogLevel::debug, "{}; the next handshake is a full one", reason);
  } else {
    if (!connection.may_fall_back || !unproven) return false;
    tls_memory.note(host.address, now() + options.tls.broken_for);
    if (!tls_memory.is_broken(host.address, now())) return false;  // broken_max = 0
    ++counters.tls_fallbacks;
    log(LogLevel::info, "{}; its mail goes in clear text for {} s", reason,
        options.tls.broken_for.count / 1000);
  }
  touch(*connection.site);
  part(connection);
  return true;
}

// ---- output

// Plaintext is sealed as the peer takes it, so a large content is not doubled in memory.
void Pools::Impl::seal_next(Connection& connection) {
  std::vector<iovec>& output = connection.output;
  sealing.clear();
  size_t octets = 0;
  while (connection.output_next < output.size() && octets < kSealedMax) {
    iovec& next = output[connection.output_next];
    const size_t taken = std::min(next.iov_len, kSealedMax - octets);
    sealing.push_back({next.iov_base, taken});
    octets += taken;
    next.iov_base = static_cast<char*>(next.iov_base) + taken;
    next.iov_len -= taken;
    if (next.iov_len == 0) ++connection.output_next;
  }
  if (connection.secure->session.write(sealing)) {
    send_sealed(connection);
  } else {
    tls_broken(connection, connection.secure->session.error(), true);
  }
}

void Pools::Impl::send_sealed(Connection& connection) {
  SecureStream& secure = *connection.secure;
  if (!secure.session.has_output()) return;
  secure.session.take_output(secure.sealed);
  const iovec all{secure.sealed.data(), secure.sealed.size()};
  transmit(connection, {&all, 1});
}

void Pools::Impl::sealed_sent(Connection& connection) {
  std::string& sealed = connection.secure->sealed;
  sealed.clear();
  if (sealed.capacity() > kSealedKept) std::string().swap(sealed);
}

}  // namespace ringmta::client
