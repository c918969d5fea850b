// SPDX-License-Identifier: GPL-3.0-or-later
// One submission session as the server room keeps it: the protocol machine, its stream, and what is
// under way between the client, the spool and the socket.
#pragma once

#include <array>
#include <string>

#include "ringmta/base/intrusive_list.h"
#include "ringmta/ring/timer_wheel.h"
#include "ringmta/server/options.h"
#include "ringmta/smtp/server_session.h"
#include "ringmta/spool/spool.h"

namespace ringmta::server {

struct Session {
  Session(const smtp::ServerOptions& options, bool relay_allowed)
      : machine(options, relay_allowed) {}

  smtp::ServerSession machine;
  ListLink dirty;    // on the list of those whose output or state must be looked at in flush()
  ListLink waiting;  // on the list of those not greeted yet
  ring::Timer timer;
  ring::StreamId stream{};
  SlotHandle slot{};
  SocketAddress peer{};
  std::string client;          // "192.0.2.7"
  std::string client_literal;  // "IPv6:2001:db8::1", as RFC 5321 4.1.3 writes it

  spool::Gathering* gathering = nullptr;  // content of the message in arrival, once it is big

  // Messages whose commit is under way, oldest first; their replies keep this order.
  struct Pending {
    enum class State : uint8_t { waiting, committed, failed, too_large };
    MessageId id{};
    uint64_t octets = 0;
    uint32_t recipients = 0;
    State state = State::waiting;
  };
  std::array<Pending, smtp::ServerSession::kPendingMax> pending{};
  uint32_t pending_first = 0;  // sequence numbers: pending[n % kPendingMax]
  uint32_t pending_next = 0;

  std::string output;   // taken from the machine, not yet sent
  std::string sending;  // with the kernel
  bool send_in_flight = false;

  bool greeted = false;
  bool refused = false;        // by a limit on sessions: not counted at the client table
  bool blocked = false;        // the machine waits for message_done(); reading is paused
  bool answered = false;       // message_done() was called since it blocked
  bool backlogged = false;     // the client does not take its replies; reading is paused
  bool closing = false;        // the machine said close: the stream ends when the output is out
  bool input_ended = false;    // the client has finished sending
  bool stream_closed = false;  // close() was called on the stream
  bool timed_out = false;

  Monotonic active_at{};  // something arrived, or a reply left
  uint64_t accepted_turn = 0;
  uint32_t transaction = 0;    // the machine's number of the one that transaction_at is about
  Monotonic transaction_at{};  // MAIL; never(): none open
  Monotonic send_at{};         // the send in flight was given to the kernel

  bool paused() const { return blocked || backlogged; }
};

}  // namespace ringmta::server
