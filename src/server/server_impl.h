// SPDX-License-Identifier: GPL-3.0-or-later
// What the two halves of the server room share: server.cc (sessions and their streams) and
// intake.cc (messages on their way into the spool).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ringmta/base/slot_pool.h"
#include "ringmta/server/server.h"
#include "ringmta/smtp/trace.h"
#include "session.h"

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
  void flush(Session& session);
  void resume_if_possible(Session& session);
  void close(Session& session, ring::CloseMode mode);
  void end(Session& session, std::string_view reply);
  std::string shutting_down() const;
  void arm_timer(Session& session);
  Monotonic deadline(const Session& session) const;

  // intake.cc
  void process(Session& session, Bytes data);
  void message_begin(Session& session);
  void take_body(Session& session, std::string_view body, Bytes data);
  bool backlogged(Session& session);
  Gathered gather_pieces(Session& session);
  void message_end(Session& session);
  void message_abort(Session& session);
  void spool_done(const spool::Done& done);
  void answer_in_order(Session& session);

  shard::Loop& loop;
  spool::Spool& spool;
  ServerOptions options;
  ClientTable& clients;
  SlotPool<Session, 64> sessions;
  IntrusiveList<Session, &Session::dirty> dirty;
  IntrusiveList<Session, &Session::waiting> not_greeted;
  std::vector<ring::ListenerId> listeners;
  smtp::DateCache dates;

  // Of the message in arrival, within one call of process(): pieces of the receive buffer (or of
  // `side`, for the few octets the machine adds itself).
  std::vector<std::string_view> pieces;
  std::string side;
  std::string trace;
  std::string reply;

  void* taker = nullptr;
  void (*take)(void* self, spool::StoredHandle message) = nullptr;
  ServerCounters counters;
  bool stopping = false;
};

}  // namespace ringmta::server
