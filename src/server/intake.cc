// SPDX-License-Identifier: GPL-3.0-or-later
// Messages on their way into the spool. A message that is whole in one receive goes from the
// receive buffer straight into the open batch; a bigger one gathers in the spool's chunks, one copy
// either way. Its reply waits for the commit; replies keep the order of the messages.
//
// A client that leaves before its 250 leaves a message that was accepted all the same: it is on
// stable storage, so it is delivered (RFC 5321 6.1 leaves the duplicate to the client's retry).

#include <algorithm>

#include "server_impl.h"

namespace ringmta::server {

namespace {

constexpr std::string_view kNoStorage = "452 4.3.1 Insufficient system storage, try again later";
constexpr std::string_view kTooLarge = "552 5.3.4 The message is larger than this host can store";
constexpr std::string_view kSignFailed =
    "451 4.7.5 The message could not be signed, try again later";
constexpr std::string_view kUnsignable = "554 5.6.0 The header is too large to be signed";

// Octets of replies that a client may leave untaken, and of commands between two looks at them (a
// HELP of six octets is answered by two hundred): what a deaf client costs, twice, since as much
// may be on its way.
constexpr size_t kBacklogMax = 8'192;
constexpr size_t kCommandsAtOnce = 1024;

// Which message of which session: slot and generation as in a Token, and a sequence number above.
uint64_t tag_of(const Session& session, uint32_t sequence) {
  return static_cast<uint64_t>(sequence & 0x7F) << 56 |
         static_cast<uint64_t>(session.slot.generation & kGenerationMask) << 32 |
         session.slot.index;
}

bool lies_within(std::string_view piece, Bytes data) {
  const auto* begin = reinterpret_cast<const char*>(data.data());
  return piece.data() >= begin && piece.data() + piece.size() <= begin + data.size();
}

}  // namespace

void Server::Impl::take_input(Session& session, Bytes data) {
  if (session.tls != nullptr) return take_sealed(session, data);
  const size_t used = process(session, data);
  if (session.paused()) loop.io().pause(session.stream, data.subspan(used));
}

// Says how many octets were used up: all of them, unless the session is paused now.
size_t Server::Impl::process(Session& session, Bytes data) {
  using Action = smtp::ServerSession::Action;
  if (session.waiting.linked()) {  // the machine refuses who talks before the banner
    session.waiting.unlink();
    session.greeted = true;
  }
  // Who sends a command octet by octet is as idle as who sends none (RFC 5321 4.5.3.2.7).
  const bool content = session.machine.reading_content();
  const uint32_t lines = session.machine.lines();
  size_t used = 0;
  bool more = true;
  while (more) {
    Bytes rest = data.subspan(used);
    if (!session.machine.in_content()) rest = rest.first(std::min(rest.size(), kCommandsAtOnce));
    const auto step = session.machine.step(rest);
    used += step.consumed;
    switch (step.action) {
      case Action::more:
        more = !backlogged(session) && used < data.size();
        break;
      case Action::blocked:
        session.blocked = true;
        more = false;
        break;
      case Action::start_tls:
        begin_tls(session);
        used = data.size();  // RFC 3207 6: what was said behind it, nobody has said
        more = false;
        break;
      case Action::auth_begin:
        auth_begin(session, step);
        break;
      case Action::auth_response:
        auth_response(session, step.body);
        break;
      case Action::auth_cancel:
        auth_cancel(session);
        break;
      case Action::sender:
        judge_sender(session);
        break;
      case Action::message_begin:
        message_begin(session);
        break;
      case Action::body:
        take_body(session, step.body, data);
        break;
      case Action::message_end:
        message_end(session);
        break;
      case Action::message_abort:
        message_abort(session);
        break;
      case Action::close:
        session.closing = true;
        session.blocked = true;
        more = false;
        break;
    }
  }
  if (session.machine.lines() != lines || (content && used > 0)) session.active_at = loop.now();
  // What is still open goes on in a later receive: its views end with this one.
  if (!pieces.empty()) gather_pieces(session);
  if (!session.machine.in_transaction()) {
    session.transaction_at = Monotonic::never();
  } else if (session.transaction_at == Monotonic::never() ||
             session.transaction != session.machine.transactions()) {
    session.transaction = session.machine.transactions();
    session.transaction_at = loop.now();
    arm_timer(session);
  }
  return used;
}

// Does the client leave so many replies untaken that no more of its commands should be looked at?
bool Server::Impl::backlogged(Session& session) {
  session.machine.take_output(session.output);
  session.backlogged = session.output.size() > kBacklogMax;
  return session.backlogged;
}

void Server::Impl::message_begin(Session& session) {
  RINGMTA_ASSERT(session.gathering == nullptr && session.arrival == nullptr && pieces.empty());
  side.clear();
  if (stopping) {
    session.machine.refuse_message("421 4.3.2 Service is shutting down");
  } else if (!spool.accepting() || spool.memory_pressed() || signing.full() || full(limiter)) {
    ++counters.messages_refused;
    session.machine.refuse_message(kNoStorage);
  } else if (const sasl::User* user = user_of(session);
             user != nullptr &&
             !user->usage->count_message(user->messages_per_hour, loop.io().wall())) {
    ++counters.messages_refused;
    session.machine.refuse_message("450 4.7.1 Too many messages this hour, try again later");
  } else {
    session.machine.accept_message();
    if (signing.on()) session.arrival = signing.begin();
  }
}

void Server::Impl::take_body(Session& session, std::string_view body, Bytes data) {
  if (body.empty()) return;
  if (session.arrival != nullptr) session.arrival->hasher.append(body);
  if (lies_within(body, data)) {
    pieces.push_back(body);
    return;
  }
  if (side.size() + body.size() > side.capacity() && gather_pieces(session) != Gathered::fine) {
    return;
  }
  if (body.size() > side.capacity()) {
    pieces.push_back(body);
    gather_pieces(session);
    return;
  }
  const size_t begin = side.size();
  side.append(body);
  pieces.push_back(std::string_view(side).substr(begin));
}

// Moves what was collected in this receive into the spool's chunks; the content is refused where
// that fails. (A message within message_size_max can be too large all the same: what is stored of
// it has a dot more in every line that begins with one.)
Gathered Server::Impl::gather_pieces(Session& session) {
  if (session.gathering == nullptr) session.gathering = spool.gather();
  bool fine = session.gathering != nullptr;
  for (const std::string_view piece : pieces) {
    fine = fine && spool.gather_append(*session.gathering, piece);
  }
  pieces.clear();
  side.clear();
  const bool too_large =
      fine && spool.gathered_octets(*session.gathering) > spool.message_octets_max();
  if (fine && !too_large) return Gathered::fine;
  if (session.machine.in_content()) {
    session.machine.refuse_content(too_large ? kTooLarge : kNoStorage);
  }
  if (session.gathering != nullptr) spool.gather_drop(session.gathering);
  session.gathering = nullptr;
  return too_large ? Gathered::too_large : Gathered::no_memory;
}

void Server::Impl::message_end(Session& session) {
  const smtp::EnvelopeView envelope = session.machine.envelope();
  const smtp::HeaderFacts& header = session.machine.header();
  const WallTime now = loop.io().wall();
  const MessageId id = spool.next_id();
  const MessageIdText id_text = to_text(id);

  smtp::TraceFacts facts;
  facts.helo = session.machine.helo();
  facts.client_literal = session.client_literal;
  facts.hostname = options.session.hostname;
  facts.id = view(id_text);
  facts.esmtp = session.machine.esmtp();
  facts.tls = session.tls != nullptr;
  if (facts.tls) {
    facts.tls_version = session.tls->facts().version;
    facts.tls_cipher = session.tls->facts().cipher;
  }
  facts.authenticated = session.machine.authenticated();
  facts.utf8 = envelope.utf8;
  facts.for_recipient = envelope.recipients.size() == 1 ? envelope.recipients[0].address : "";
  facts.now = now;
  facts.add_date = options.add_missing_headers && !header.has_date;
  facts.add_message_id = options.add_missing_headers && !header.has_message_id;
  trace.clear();
  smtp::append_trace(trace, facts, dates);

  spool::MessageHead head;
  head.envelope = envelope;
  head.info.arrival = now;
  head.info.expiry = now + options.expire_after;
  head.info.client = session.client;
  head.info.tenant = options.tenant_default;
  if (const sasl::User* user = user_of(session)) {
    head.info.tenant = user->tenant;
    head.info.user = user->name;
  }
  head.info.has_dot_stuffing = header.has_dot_stuffing;
  head.info.has_eight_bit = header.has_eight_bit;

  const uint32_t sequence = session.pending_next++;
  Session::Pending& pending = session.pending[sequence % smtp::ServerSession::kPendingMax];
  pending = {};
  pending.id = id;
  pending.recipients = static_cast<uint32_t>(envelope.recipients.size());
  pending.protocol = smtp::protocol_name(facts);
  spool::StoredHandle stored{UINT32_MAX, 0};
  const uint64_t tag = tag_of(session, sequence);
  Gathered gathered = Gathered::fine;
  if (session.gathering != nullptr) {
    gathered = gather_pieces(session);
    if (gathered == Gathered::fine) pending.octets = spool.gathered_octets(*session.gathering);
  } else {
    for (const std::string_view piece : pieces) pending.octets += piece.size();
  }
  if (session.arrival != nullptr && gathered == Gathered::fine &&
      sign(session, pending, {id, tag, head, trace, pieces, session.gathering})) {
    return;
  }
  if (session.arrival != nullptr) signing.drop(std::move(session.arrival));
  if (session.gathering != nullptr) {
    stored = spool.store_gathered(id, head, trace, session.gathering, tag);
    session.gathering = nullptr;
  } else if (gathered == Gathered::fine) {
    stored = spool.store(id, head, trace, pieces, tag);
    pieces.clear();
    side.clear();
  }
  if (stored.index != UINT32_MAX) return;
  // Where the spool accepts messages and did not take this one, it is the message's size.
  if (gathered == Gathered::fine && spool.accepting()) gathered = Gathered::too_large;
  pending.state = gathered == Gathered::too_large ? Session::Pending::State::too_large
                                                  : Session::Pending::State::failed;
  answer_in_order(session);
}

void Server::Impl::message_abort(Session& session) {
  pieces.clear();
  side.clear();
  if (session.gathering != nullptr) spool.gather_drop(session.gathering);
  session.gathering = nullptr;
  if (session.arrival != nullptr) signing.drop(std::move(session.arrival));
  ++counters.messages_refused;
}

void Server::Impl::spool_done(const spool::Done& done) {
  const bool committed = done.what == spool::Done::What::committed;
  settle(done.tag, committed ? Session::Pending::State::committed : Session::Pending::State::failed,
         done.message);
}

// What became of the message with this tag: it is taken over, and told to its session if that is
// still there.
void Server::Impl::settle(uint64_t tag, Session::Pending::State state,
                          spool::StoredHandle message) {
  const bool committed = state == Session::Pending::State::committed;
  const SlotHandle slot = ring::Token{tag}.slot();
  Session* session = sessions.find(slot);
  if (session == nullptr) {
    if (committed) take(taker, message, {});
    return;
  }
  const auto sequence = static_cast<uint32_t>(tag >> 56);
  for (uint32_t n = session->pending_first; n != session->pending_next; ++n) {
    if ((n & 0x7F) != sequence) continue;
    Session::Pending& pending = session->pending[n % smtp::ServerSession::kPendingMax];
    pending.state = state;
    if (committed) take(taker, message, arrival_of(*session, pending.protocol));
    break;
  }
  answer_in_order(*session);
  touch(*session);
}

std::string_view Server::Impl::refusal(Session::Pending::State state) {
  using State = Session::Pending::State;
  if (state == State::too_large) return kTooLarge;
  if (state == State::sign_failed) return kSignFailed;
  return state == State::unsignable ? kUnsignable : kNoStorage;
}

void Server::Impl::answer_in_order(Session& session) {
  while (session.pending_first != session.pending_next) {
    const Session::Pending& oldest =
        session.pending[session.pending_first % smtp::ServerSession::kPendingMax];
    if (oldest.state == Session::Pending::State::waiting) return;
    ++session.pending_first;
    if (oldest.state != Session::Pending::State::committed) {
      ++counters.messages_refused;
      session.machine.message_done(refusal(oldest.state));
      continue;
    }
    ++counters.messages;
    counters.recipients += oldest.recipients;
    counters.octets += oldest.octets;
    const MessageIdText text = to_text(oldest.id);
    reply.assign("250 2.0.0 Ok: queued as ");
    reply.append(view(text));
    session.machine.message_done(reply);
  }
}

}  // namespace ringmta::server
