// SPDX-License-Identifier: GPL-3.0-or-later
// What the parts of the server room share: server.cc (sessions and their streams), security.cc
// (TLS), intake.cc (messages on their way into the spool) and authentication.cc (users and what
// they may).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "auth_inbox.h"
#include "ringmta/base/slot_pool.h"
#include "ringmta/sasl/credential_cache.h"
#include "ringmta/server/server.h"
#include "ringmta/smtp/trace.h"
#include "session.h"
#include "signing.h"

namespace ringmta::server {

enum class Gathered : uint8_t { fine, no_memory, too_large };

struct Server::Impl {
  Impl(shard::Loop& the_loop, spool::Spool& the_spool, const ServerOptions& the_options,
       ClientTable& the_clients);

  // server.cc
  void on_accepted(const ring::Event& event);
  void on_received(Session& session, Bytes data);
  void on_ended(Session& session, int32_t result);
  void on_sent(Session& session, int32_t result);
  void on_closed(Session& session);
  void on_timer(Session& session);
  void touch(Session& session);  // flush() must look at it
  bool greet_waiting();
  bool begin_to_read(Session& session);
  void flush(Session& session);
  void resume_if_possible(Session& session);
  void close(Session& session, ring::CloseMode mode);
  void end(Session& session, std::string_view reply);
  void cut_off(Session& session);
  void send_next(Session& session);
  std::string shutting_down() const;
  void arm_timer(Session& session);
  Monotonic deadline(const Session& session) const;

  // security.cc
  smtp::ServerAccess access_of(const SocketAddress& peer, const tls::Session* tls,
                               bool roots_hold = true) const;
  bool known_certificate(const tls::Facts& facts, bool roots_hold) const;
  void begin_tls(Session& session);
  void take_sealed(Session& session, Bytes data);
  void handshaken(Session& session);
  void seal(Session& session);
  bool say_goodbye(Session& session);
  bool go_on_with_handshakes();
  Arrival arrival_of(const Session& session, std::string_view protocol) const;
  // authentication.cc
  smtp::ServerAccess access_for(const SocketAddress& client, std::string_view binding, bool tls,
                                bool starttls) const;
  void auth_begin(Session& session, const smtp::ServerSession::Step& step);
  void auth_response(Session& session, std::string_view response);
  void auth_cancel(Session& session);
  void auth_go_on(Session& session, sasl::ServerExchange::Step step);
  void auth_verify(Session& session, const sasl::CredentialCache::Key& key);
  void auth_verdicts();
  void auth_succeeded(Session& session);
  void auth_failed(Session& session);
  void auth_refuse(Session& session, std::string_view text);
  void auth_reply(Session& session);
  bool auth_reply_due(Session& session);
  void auth_answered(Session& session);
  void forget_login(Session& session);
  bool blocked(uint64_t key, uint32_t failures_max) const;
  bool user_is_blocked(const Session& session) const;
  static void grant(const sasl::User& user, smtp::ServerAccess& access);
  bool still_permitted(Session& session);
  void judge_sender(Session& session);
  static const sasl::User* user_of(const Session& session);

  // intake.cc
  void take_input(Session& session, Bytes data);
  size_t process(Session& session, Bytes data);
  void message_begin(Session& session);
  void take_body(Session& session, std::string_view body, Bytes data);
  bool backlogged(Session& session);
  Gathered gather_pieces(Session& session);
  void message_end(Session& session);
  void message_abort(Session& session);
  void spool_done(const spool::Done& done);
  void settle(uint64_t tag, Session::Pending::State state, spool::StoredHandle message = {});
  static std::string_view refusal(Session::Pending::State state);
  void answer_in_order(Session& session);

  // signed_mail.cc
  bool sign(Session& session, Session::Pending& pending, Signing::Ended message);
  bool store_signed();
  Own sign_own(MessageId id, const spool::MessageHead& head, std::string_view content,
               uint64_t tag);

  shard::Loop& loop;
  spool::Spool& spool;
  ServerOptions options;
  ClientTable& clients;
  SlotPool<Session, 64> sessions;
  IntrusiveList<Session, &Session::dirty> dirty;
  IntrusiveList<Session, &Session::waiting> not_greeted;
  IntrusiveList<Session, &Session::yielding> yielding;
  std::vector<ring::ListenerId> listeners;
  size_t listeners_tls = 0;  // the last so many of them
  smtp::DateCache dates;

  std::shared_ptr<tls::ServerContext> tls_context;  // null: TLS is not offered
  uint32_t client_roots = 0;                        // number of the roots for client certificates
  tls::TicketKeys ticket_keys;
  tls::HandshakeBudget budget;
  uint64_t budget_turn = 0;  // in which it was filled
  AuthShared* auth_shared = nullptr;
  AuthInbox auth_inbox;
  sasl::CredentialCache credentials;

  // Of the message in arrival, within one call of process(): pieces of the receive buffer (or of
  // `side`, for the few octets the machine adds itself).
  std::vector<std::string_view> pieces;
  std::string side;
  std::string trace;
  std::string reply;

  void* taker = nullptr;
  void (*take)(void* self, spool::StoredHandle message, const Arrival& arrival) = nullptr;
  void* limiter = nullptr;
  bool (*full)(void* self) = [](void*) { return false; };
  void* owner_of_own = nullptr;
  void (*own_failed)(void* self, uint64_t tag) = nullptr;
  ServerCounters counters;
  Signing signing{spool, counters};
  bool stopping = false;
};

}  // namespace ringmta::server
