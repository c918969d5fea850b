// SPDX-License-Identifier: GPL-3.0-or-later
// TLS between the stream and the protocol machine: RFC 3207 (STARTTLS) and RFC 8314 (TLS from the
// first octet).
//
// The insight: a record's plaintext lies in memory of the shard's context, as a receive lies in the
// ring's buffers, so the intake takes views of either and copies once. What the machine cannot take
// goes back to where it came from, plaintext to the TLS session and records to the ring.
//
// Handshakes are the one thing here that takes long: each turn has a budget of them, and who comes
// beyond it waits in line for the next turn while mail goes on. A handshake has a time of its own,
// however busily its octets trickle in.
//
// Failure: a client that does not speak TLS, or breaks off, gets the alert and the end of its
// connection; nothing is said in clear text any more once "220 Ready" has been promised.

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "ringmta/base/log.h"
#include "server_impl.h"

namespace ringmta::server {

namespace {

bool same_fingerprint(std::string_view known, std::string_view shown) {
  size_t at = 0;
  for (const char c : known) {
    if (c == ':') continue;
    if (at == shown.size() || ascii_lower(c) != shown[at]) return false;
    ++at;
  }
  return at == shown.size() && at > 0;
}

}  // namespace

Result<std::shared_ptr<tls::ServerContext>> make_tls_context(const ServerTls& options,
                                                             tls::HandshakeBudget* budget) {
  if (!options.offered()) return nullptr;
  tls::ServerOptions wanted;
  wanted.certificates = options.certificate_texts;
  wanted.ask_client_certificate = options.asks_clients();
  wanted.client_roots_pem = options.client_roots_pem;
  wanted.budget = budget;
  return tls::ServerContext::create(wanted);
}

// `tls`: with its handshake done; null: clear text. `roots_hold`: those that have verified the
// client's certificate are still the configured ones.
smtp::ServerAccess Server::Impl::access_of(const SocketAddress& peer, const tls::Session* tls,
                                           bool roots_hold) const {
  std::string_view binding;
  if (tls != nullptr && tls->facts().has_exporter) binding = as_text(tls->facts().exporter);
  smtp::ServerAccess access = access_for(peer, binding, tls != nullptr, tls_context != nullptr);
  access.tls_required = options.tls.required;
  access.rules = options.session.rules;
  if (tls != nullptr && known_certificate(tls->facts(), roots_hold)) {
    access.relay_allowed = true;
    access.auth_required = false;
  }
  return access;
}

bool Server::Impl::known_certificate(const tls::Facts& facts, bool roots_hold) const {
  if (facts.verified && roots_hold) return true;
  return std::ranges::any_of(options.tls.client_fingerprints, [&](const std::string& known) {
    return same_fingerprint(known, facts.peer_fingerprint);
  });
}

void Server::Impl::begin_tls(Session& session) {
  if (tls_context == nullptr) {  // the last certificate went with a reload
    close(session, ring::CloseMode::abort);
    return;
  }
  if (!session.tls_first) session.machine.take_output(session.output);  // "220 Ready", in the clear
  session.tls = std::make_unique<tls::Session>(tls_context);
  session.roots = client_roots;
  session.handshake_at = loop.now();
  arm_timer(session);
}

void Server::Impl::take_sealed(Session& session, Bytes data) {
  using Action = tls::Session::Action;
  size_t used = 0;
  for (;;) {
    const tls::Session::Step step = session.tls->step(data.subspan(used));
    used += step.consumed;
    switch (step.action) {
      case Action::more:
        return;
      case Action::handshaken:
        handshaken(session);
        break;
      case Action::plaintext: {
        const size_t taken = process(session, step.plaintext);
        if (!session.paused()) break;
        session.tls->unread(step.plaintext.subspan(taken));
        loop.io().pause(session.stream, data.subspan(used));
        return;
      }
      case Action::yielded:
        session.yielded = true;
        yielding.push_back(session);
        loop.io().pause(session.stream, data.subspan(used));
        return;
      case Action::closed:
        session.input_ended = true;
        return;
      case Action::failed:
        ++counters.tls_failures;
        log(LogLevel::debug, "{}: {}", session.client, session.tls->error());
        session.closing = true;
        session.blocked = true;
        loop.io().pause(session.stream);
        return;
    }
  }
}

void Server::Impl::handshaken(Session& session) {
  ++counters.tls_handshakes;
  ++counters.tls_sessions;
  if (session.tls->facts().resumed) ++counters.tls_resumed;
  session.active_at = loop.now();
  if (!session.tls_first) {
    forget_login(session);
    session.machine.tls_started(access_of(session.peer, session.tls.get()));
    return;
  }
  std::destroy_at(&session.machine);
  std::construct_at(&session.machine, options.session, access_of(session.peer, session.tls.get()));
  session.accepted_turn = loop.io().counters().turns;
  not_greeted.push_back(session);
  if (options.timeouts.greeting_delay.count > 0) arm_timer(session);
}

// What is to be sent next, in records; but the 220 before the handshake as it is.
void Server::Impl::seal(Session& session) {
  if (!session.output.empty() && session.handshaking()) {
    std::swap(session.output, session.sending);
    return;
  }
  if (!session.output.empty()) {
    if (!session.goodbye_said) session.tls->write(as_bytes(session.output));
    session.output.clear();  // where the session has failed, there is nobody to say it to
  }
  if (session.tls->has_output()) session.tls->take_output(session.sending);
}

// The last record says that it is the last. False: there is nothing to be said any more.
bool Server::Impl::say_goodbye(Session& session) {
  if (session.goodbye_said) return false;
  session.goodbye_said = true;
  session.tls->close();
  send_next(session);
  return session.send_in_flight;
}

// A turn's worth of handshakes; true: there are more.
bool Server::Impl::go_on_with_handshakes() {
  const uint64_t turn = loop.io().counters().turns;
  if (turn == budget_turn) return false;
  budget_turn = turn;
  budget.left = options.tls.handshakes_per_turn;
  for (uint32_t i = 0; i < budget.left; ++i) {
    Session* session = yielding.pop_front();
    if (session == nullptr) return false;
    session->yielded = false;
    loop.io().read(session->stream);
  }
  return !yielding.empty();
}

Arrival Server::Impl::arrival_of(const Session& session, std::string_view protocol) const {
  Arrival arrival;
  arrival.protocol = protocol;
  if (session.tls != nullptr) {
    arrival.tls_version = session.tls->facts().version;
    arrival.tls_cipher = session.tls->facts().cipher;
  }
  return arrival;
}

}  // namespace ringmta::server
