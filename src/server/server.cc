// SPDX-License-Identifier: GPL-3.0-or-later
// Sessions and their streams: accept, greet, read, write, time out, close. What is said is decided
// by the protocol machine; what is stored by intake.cc.
//
// A session is greeted one turn after it was accepted (or later, greeting_delay): whoever has sent
// something by then did not wait for the banner, and is refused. Whether he has is asked of the
// socket before the first receive: what a receive has taken, the ring may tell of a turn too late.
// Replies leave once per turn, so a pipelined batch is answered by one write.

#include "ringmta/server/server.h"

#include <fmt/format.h>

#include <algorithm>

#include "ringmta/base/log.h"
#include "ringmta/base/octets.h"
#include "ringmta/dns/name.h"
#include "ringmta/smtp/grammar.h"
#include "server_impl.h"

namespace ringmta::server {

namespace {

constexpr size_t kOutputKept = 4096;  // octets of memory kept for replies when they are out
// Listeners' tokens.
constexpr uint32_t kClear = 0;
constexpr uint32_t kTlsFirst = 1;

constexpr uint32_t kRefusals =
    256;  // slots of each shard beyond sessions_max, for saying no in words

ring::Token token_of(SlotHandle slot) {
  return ring::Token::make(shard::kind(shard::Owner::server), slot);
}

// Takes the first label off.
std::string_view take_label(std::string_view& domain) {
  const std::string_view label = domain.substr(0, domain.find('.'));
  domain.remove_prefix(std::min(domain.size(), label.size() + 1));
  return label;
}

// A domain with octets above 127 is one if it has the form that delivery will ask for, label by
// label: IDNA's mapping makes dots and ASCII of other characters ("b<U+FF0E>c" is asked for as
// "b.c"), which whoever sees the address next may not.
bool exists_in_idna(std::string_view domain) {
  const Result<dns::Name> name = dns::mail_domain(domain);
  if (!name) return false;
  const std::string text = name->text();
  std::string_view asked = text;
  if (!smtp::is_domain(asked)) return false;
  while (!domain.empty() && !asked.empty()) {
    const std::string_view written = take_label(domain);
    const std::string_view label = take_label(asked);
    const bool right =
        is_ascii(written) ? equals_ignoring_case(label, written) : label.starts_with("xn--");
    if (!right) return false;
  }
  return domain.empty() && asked.empty();
}

}  // namespace

Server::Impl::Impl(shard::Loop& the_loop, spool::Spool& the_spool, const ServerOptions& the_options,
                   ClientTable& the_clients)
    : loop(the_loop),
      spool(the_spool),
      options(the_options),
      clients(the_clients),
      sessions(the_options.sessions_max + kRefusals),
      auth_inbox(the_loop) {
  options.session.domain_exists_in_idna = exists_in_idna;
  side.reserve(4096);
  trace.reserve(4096);
}

void Server::Impl::on_accepted(const ring::Event& event) {
  if (event.result < 0) {
    log(LogLevel::warning, "a connection could not be accepted: {}",
        fail_errno("accept", -event.result).error().message);
    return;
  }
  const SocketAddress peer = loop.io().peer(event.stream);
  SlotHandle slot;
  Session* session = nullptr;
  if (!stopping && peer.length != 0) {
    session = sessions.take(slot, options.session, access_of(peer, nullptr));
  }
  if (session == nullptr) {
    ++counters.sessions_refused;
    loop.io().close(event.stream, ring::CloseMode::abort);
    return;
  }
  session->slot = slot;
  session->stream = event.stream;
  session->peer = peer;
  session->client = peer.host_text();
  session->client_literal = peer.literal_text();
  session->timer.token = token_of(slot);
  session->tls_first = event.token.index() == kTlsFirst;
  session->active_at = loop.now();
  session->accepted_turn = loop.io().counters().turns;
  session->transaction_at = Monotonic::never();
  loop.io().own(event.stream, token_of(slot));
  ++counters.sessions_total;
  const auto entered = clients.enter(peer, {options.sessions_max, options.sessions_per_client_max});
  session->refused = entered != ClientTable::Answer::entered;
  if (entered == ClientTable::Answer::too_many) {
    session->machine.greet_refused("421 4.3.2 Too many sessions, try again later");
  } else if (entered == ClientTable::Answer::too_many_of_client) {
    session->machine.greet_refused("421 4.7.0 Too many sessions from your address");
  }
  if (session->refused) {
    ++counters.sessions_refused;
    session->greeted = true;
    if (session->tls_first) {  // there is no way to say it
      close(*session, ring::CloseMode::abort);
      return;
    }
    session->closing = true;  // RFC 5321 3.8: 421 comes with the end of the connection
    touch(*session);
    return;
  }
  ++counters.sessions;
  if (session->tls_first) {
    loop.io().read(session->stream);
    begin_tls(*session);
    return;
  }
  not_greeted.push_back(*session);
  if (options.timeouts.greeting_delay.count == 0) return;  // greet_waiting() begins to read
  if (begin_to_read(*session)) arm_timer(*session);
}

// Of a session in clear text that was not greeted yet. False: it was spoken in before, and is over.
bool Server::Impl::begin_to_read(Session& session) {
  session.reading = true;
  if (!loop.io().has_unread(session.stream)) {
    loop.io().read(session.stream);
    return true;
  }
  session.waiting.unlink();
  session.greeted = true;
  session.machine.greet_refused(smtp::ServerSession::kSpokeEarly);
  session.closing = true;
  touch(session);
  return false;
}

// The banner, for those that have waited for it; true: some will be due in the next turn.
bool Server::Impl::greet_waiting() {
  bool more = false;
  Session* next = nullptr;
  for (Session* session = not_greeted.front(); session != nullptr; session = next) {
    next = not_greeted.next(*session);
    const Monotonic due = session->active_at + options.timeouts.greeting_delay;
    if (session->accepted_turn == loop.io().counters().turns) {
      more = more || options.timeouts.greeting_delay.count == 0;
      continue;
    }
    if (due > loop.now()) continue;
    if (!session->reading && session->tls == nullptr && !begin_to_read(*session)) continue;
    session->waiting.unlink();
    session->greeted = true;
    session->machine.greet();
    session->active_at = loop.now();
    arm_timer(*session);
    touch(*session);
  }
  return more;
}

void Server::Impl::on_received(Session& session, Bytes data) {
  if (session.closing || session.stream_closed) return;
  if (session.paused()) {
    loop.io().pause(session.stream, data);
    return;
  }
  if (session.handshaking()) session.active_at = loop.now();  // which has a time of its own
  take_input(session, data);
  touch(session);
}

void Server::Impl::on_ended(Session& session, int32_t result) {
  session.input_ended = true;
  if (result < 0) {
    close(session, ring::CloseMode::abort);
    return;
  }
  touch(session);
}

void Server::Impl::on_sent(Session& session, int32_t result) {
  session.send_in_flight = false;
  session.sending.clear();
  if (session.sending.capacity() > kOutputKept) std::string().swap(session.sending);
  if (result < 0) {
    close(session, ring::CloseMode::abort);
    return;
  }
  session.active_at = loop.now();
  touch(session);
}

void Server::Impl::on_closed(Session& session) {
  loop.timers().cancel(session.timer);
  session.dirty.unlink();
  session.waiting.unlink();
  session.yielding.unlink();
  if (session.tls != nullptr && session.tls->handshaken()) --counters.tls_sessions;
  if (session.gathering != nullptr) spool.gather_drop(session.gathering);
  forget_login(session);
  if (session.arrival != nullptr) signing.drop(std::move(session.arrival));
  if (!session.refused) {
    clients.leave(session.peer);
    --counters.sessions;
  }
  sessions.release(session.slot);
}

void Server::Impl::touch(Session& session) {
  if (!session.dirty.linked()) dirty.push_back(session);
}

void Server::Impl::close(Session& session, ring::CloseMode mode) {
  if (session.stream_closed && mode != ring::CloseMode::abort) return;
  session.stream_closed = true;
  session.closing = true;
  session.dirty.unlink();
  session.waiting.unlink();
  session.yielding.unlink();
  loop.timers().cancel(session.timer);
  loop.io().close(session.stream, mode);
}

void Server::Impl::end(Session& session, std::string_view reply_line) {
  if (session.closing) return;
  if (session.handshaking()) {  // there is no way to say it
    close(session, ring::CloseMode::graceful);
    return;
  }
  session.waiting.unlink();
  session.machine.end(reply_line);
  session.closing = true;
  if (!session.paused()) loop.io().pause(session.stream);
  session.blocked = true;
  touch(session);
}

// At once, but not without a word to whom one can be said: that send has the time which the ring
// gives a stream to close. Behind replies that the client has not taken, or that wait for the disk,
// nothing can.
void Server::Impl::cut_off(Session& session) {
  const bool can_be_told = !session.closing && !session.handshaking() && !session.send_in_flight;
  if (can_be_told) {
    end(session, shutting_down());
    session.machine.take_output(session.output);
    if (session.tls == nullptr) {
      send_next(session);
    } else {
      seal(session);
      say_goodbye(session);
    }
  }
  close(session,
        can_be_told && session.send_in_flight ? ring::CloseMode::graceful : ring::CloseMode::abort);
}

std::string Server::Impl::shutting_down() const {
  return fmt::format("421 4.3.2 {} Service is shutting down", options.session.hostname);
}

void Server::Impl::flush(Session& session) {
  if (session.stream_closed) return;
  if (stopping && !session.closing && !session.machine.in_content()) end(session, shutting_down());
  if (session.stream_closed) return;
  resume_if_possible(session);
  if (session.machine.has_output()) {
    const bool leaves_now =
        session.tls == nullptr && !session.send_in_flight && session.output.empty();
    session.machine.take_output(leaves_now ? session.sending : session.output);
  }
  send_next(session);
  const bool nothing_left =
      !session.send_in_flight && session.pending_first == session.pending_next;
  if (!nothing_left || (!session.closing && !session.input_ended)) return;
  if (session.tls == nullptr || !say_goodbye(session)) close(session, ring::CloseMode::graceful);
}

void Server::Impl::send_next(Session& session) {
  if (session.send_in_flight) return;
  if (session.tls != nullptr) {
    seal(session);
  } else if (!session.output.empty()) {
    std::swap(session.output, session.sending);
  }
  if (session.sending.empty()) return;
  const iovec part{session.sending.data(), session.sending.size()};
  session.send_in_flight = true;
  session.send_at = loop.now();
  loop.io().send(session.stream, {&part, 1});
  arm_timer(session);
}

void Server::Impl::resume_if_possible(Session& session) {
  if (session.closing || !session.paused()) return;
  if (session.backlogged && session.output.empty()) session.backlogged = false;
  // Not to look before what blocked it has been answered.
  if (session.blocked && !session.machine.blocked()) session.blocked = false;
  if (session.paused()) return;
  if (session.machine.has_news()) process(session, {});  // the answer itself gave it something
  if (session.paused() || session.closing) return;
  take_input(session, {});  // a command that was taken already, or the rest of a TLS record
  if (!session.paused() && !session.closing) loop.io().read(session.stream);
}

Monotonic Server::Impl::deadline(const Session& session) const {
  Monotonic due = session.active_at + options.timeouts.idle;
  if (session.handshaking()) due = std::min(due, session.handshake_at + options.timeouts.handshake);
  if (session.waiting.linked()) due = session.active_at + options.timeouts.greeting_delay;
  if (session.transaction_at != Monotonic::never()) {
    due = std::min(due, session.transaction_at + options.timeouts.transaction);
  }
  due = std::min(due, session.login.reply_at);
  if (session.send_in_flight) due = std::min(due, session.send_at + options.timeouts.reply);
  return due;
}

// The timer is set when it is not, and looks again when it fires: activity only writes a number.
void Server::Impl::arm_timer(Session& session) {
  const Monotonic due = deadline(session);
  if (!session.timer.armed() || due < session.timer.due) loop.timers().arm(session.timer, due);
}

void Server::Impl::on_timer(Session& session) {
  if (session.stream_closed) return;
  const Monotonic now = loop.now();
  if (deadline(session) > now) {
    arm_timer(session);
    return;
  }
  if (!session.closing && auth_reply_due(session)) {
    arm_timer(session);
    return;
  }
  if (session.waiting.linked()) return;  // greet_waiting() runs in this turn
  if (session.handshaking()) {
    ++counters.timeouts;
    ++counters.tls_timeouts;
    close(session, ring::CloseMode::abort);
    return;
  }
  if (session.send_in_flight && session.send_at + options.timeouts.reply <= now) {
    ++counters.timeouts;
    close(session, ring::CloseMode::abort);
    return;
  }
  if (session.pending_first != session.pending_next) {  // it waits for our disk, not we for it
    session.active_at = now;
    if (session.transaction_at != Monotonic::never()) session.transaction_at = now;
    arm_timer(session);
    return;
  }
  ++counters.timeouts;
  if (session.timed_out) {  // it was told, and has not even gone
    close(session, ring::CloseMode::abort);
    return;
  }
  session.timed_out = true;
  end(session, fmt::format("421 4.4.2 {} Timeout, closing connection", options.session.hostname));
  session.active_at = now;
  session.transaction_at = Monotonic::never();
  arm_timer(session);
}

// ---- the room's public side

Server::Server(shard::Loop& loop, spool::Spool& spool, const ServerOptions& options,
               ClientTable& clients)
    : impl_(std::make_unique<Impl>(loop, spool, options, clients)) {}

Server::~Server() {
  if (impl_->auth_shared != nullptr) impl_->auth_shared->verifier.forget(&impl_->auth_inbox);
  impl_->sessions.for_each([this](Session& session, SlotHandle) {
    impl_->forget_login(session);
    if (!session.refused) impl_->clients.leave(session.peer);
    session.dirty.unlink();
    session.waiting.unlink();
    session.yielding.unlink();
    session.timer.link.unlink();
  });
}

void Server::authenticate_with(AuthShared& shared) { impl_->auth_shared = &shared; }

Status Server::listen() {
  const auto open = [this](const SocketAddress& address, uint32_t number) -> Status {
    const ring::Token token = ring::Token::make(shard::kind(shard::Owner::listener), number);
    auto listener = impl_->loop.io().listen(address, {}, token);
    if (!listener) return std::unexpected(listener.error());
    impl_->listeners.push_back(*listener);
    return {};
  };
  for (const SocketAddress& address : impl_->options.listeners) {
    if (Status fine = open(address, kClear); !fine) return fine;
  }
  for (const SocketAddress& address : impl_->options.tls.listeners) {
    if (Status fine = open(address, kTlsFirst); !fine) return fine;
    ++impl_->listeners_tls;
  }
  return {};
}

void Server::reload(const ServerOptions& options) {
  ServerOptions& mine = impl_->options;
  const uint32_t sessions_max = mine.sessions_max;
  std::vector<SocketAddress> listeners = std::move(mine.listeners);
  std::vector<SocketAddress> tls_listeners = std::move(mine.tls.listeners);
  if (options.tls.client_roots_pem != mine.tls.client_roots_pem) ++impl_->client_roots;
  const uint32_t rules = mine.session.rules;
  mine = options;
  mine.session.domain_exists_in_idna = exists_in_idna;
  mine.session.rules = rules + 1;  // each session's rights are looked at anew, at its next MAIL
  mine.sessions_max = sessions_max;
  mine.listeners = std::move(listeners);
  mine.tls.listeners = std::move(tls_listeners);
}

void Server::use_tls(std::shared_ptr<tls::ServerContext> context) {
  impl_->tls_context = std::move(context);
  if (impl_->tls_context != nullptr) impl_->tls_context->set_ticket_keys(impl_->ticket_keys);
}

void Server::use_ticket_keys(const tls::TicketKeys& keys) {
  impl_->ticket_keys = keys;
  if (impl_->tls_context != nullptr) impl_->tls_context->set_ticket_keys(keys);
}

tls::HandshakeBudget* Server::handshake_budget() { return &impl_->budget; }

void Server::on_event(const ring::Event& event) {
  if (event.kind == ring::EventKind::accepted) {
    impl_->on_accepted(event);
    return;
  }
  // The end of a stream that never became a session's: its token names no slot.
  if (event.token.kind() == shard::kind(shard::Owner::listener)) return;
  Session* session = impl_->sessions.find(event.token.slot());
  if (session == nullptr) return;
  switch (event.kind) {
    case ring::EventKind::received:
      impl_->on_received(*session, event.data);
      break;
    case ring::EventKind::ended:
      impl_->on_ended(*session, event.result);
      break;
    case ring::EventKind::sent:
      impl_->on_sent(*session, event.result);
      break;
    case ring::EventKind::closed:
      impl_->on_closed(*session);
      break;
    case ring::EventKind::timer:
      impl_->on_timer(*session);
      break;
    case ring::EventKind::accepted:
    case ring::EventKind::connected:
    case ring::EventKind::datagram:
    case ring::EventKind::file_done:
    case ring::EventKind::mail:
      RINGMTA_ASSERT(false);
  }
}

void Server::on_spool_done(const spool::Done& done) { impl_->spool_done(done); }

bool Server::flush() {
  impl_->auth_verdicts();
  bool more = impl_->signing.waiting() != 0 && impl_->store_signed();
  more = impl_->greet_waiting() || more;
  more = impl_->go_on_with_handshakes() || more;
  while (Session* session = impl_->dirty.pop_front()) impl_->flush(*session);
  return more;
}

void Server::stop() {
  impl_->stopping = true;
  for (const ring::ListenerId listener : impl_->listeners) {
    impl_->loop.io().stop_listening(listener);
  }
  impl_->sessions.for_each([this](Session& session, SlotHandle) {
    if (!session.stream_closed && !session.machine.in_content()) {
      impl_->end(session, impl_->shutting_down());
    }
  });
}

void Server::abort_all() {
  impl_->sessions.for_each([this](Session& session, SlotHandle) { impl_->cut_off(session); });
}

bool Server::idle() const { return impl_->sessions.size() == 0 && impl_->signing.waiting() == 0; }

void Server::sign_with(std::shared_ptr<dkim::KeyRing> keys) {
  impl_->signing.use(impl_->options.dkim, std::move(keys));
}

Server::Own Server::sign_own(MessageId id, const spool::MessageHead& head, std::string_view content,
                             uint64_t tag) {
  return impl_->sign_own(id, head, content, tag);
}

void Server::on_own_failed(void* self, void (*failed)(void* self, uint64_t tag)) {
  impl_->owner_of_own = self;
  impl_->own_failed = failed;
}

void Server::on_committed(void* self, void (*take)(void* self, spool::StoredHandle message,
                                                   const Arrival& arrival)) {
  impl_->taker = self;
  impl_->take = take;
}

void Server::refuse_while(void* self, bool (*full)(void* self)) {
  impl_->limiter = self;
  impl_->full = full;
}

std::vector<SocketAddress> Server::addresses() const {
  std::vector<SocketAddress> found;
  for (const ring::ListenerId listener : impl_->listeners) {
    found.push_back(impl_->loop.io().listening_on(listener));
  }
  return found;
}

std::vector<SocketAddress> Server::tls_addresses() const {
  std::vector<SocketAddress> found = addresses();
  found.erase(found.begin(), found.end() - static_cast<ptrdiff_t>(impl_->listeners_tls));
  return found;
}

const ServerCounters& Server::counters() const { return impl_->counters; }

}  // namespace ringmta::server
