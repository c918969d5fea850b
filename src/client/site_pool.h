// SPDX-License-Identifier: GPL-3.0-or-later
// The connections of one shard to one site. It exists only while there is something to know: open
// connections, work, or a host that failed and must be left alone.
#pragma once

#include <string>

#include "connection.h"
#include "hosts.h"
#include "ringmta/base/intrusive_list.h"
#include "ringmta/queue/options.h"
#include "ringmta/ring/timer_wheel.h"

namespace ringmta::client {

// A peer answering a transaction within this time is served by few connections with deep pipelines:
// one write for several messages. A slower one gets more connections first, so that no message
// waits behind another's reply while it need not.
inline constexpr int64_t kFastTransactionNs = 10'000'000;
inline constexpr Milliseconds kRideWait{2};

inline constexpr smtp::EnhancedStatus kNoAnswer{4, 4, 1};  // from the host (RFC 3463 3.5)

struct SitePool {
  explicit SitePool(queue::SiteId which) : id(which) {}

  queue::SiteId id;
  SlotHandle slot{};
  ListLink dirty;    // on the list of those run() serves
  ListLink waiting;  // for room within the shard's connections_max
  ring::Timer timer;
  IntrusiveList<Connection, &Connection::in_site> idle;  // ready, the one used last in front
  IntrusiveList<Connection, &Connection::in_site> able;  // busy, but may begin another; those with
                                                         // unsent output in front
  Connection::Jobs lent;                                 // by other shards, not begun
  uint32_t lent_count = 0;
  Hosts hosts;
  // Why a host could not be used, the last time.
  void failed_for(std::string why, smtp::EnhancedStatus status = kNoAnswer) {
    problem = std::move(why);
    problem_status = status;
    refusal = {};
  }
  std::string problem;
  smtp::EnhancedStatus problem_status = kNoAnswer;
  struct Refusal {      // of a host that was reached and turned the connection away
    uint16_t code = 0;  // 0: it was something else
    smtp::EnhancedStatus status{};
    smtp::Phase phase = smtp::Phase::greeting;
    std::string text, host;
  } refusal;

  uint32_t connections = 0;  // all, until their stream is closed: what the peer can count
  uint32_t opening = 0;      // connecting or before EHLO's reply
  uint32_t ready = 0;
  uint32_t boarding = 0;   // able to take another envelope along as soon as their 354 comes
  uint32_t window = 1;     // connections wanted at most now; grows with what succeeds
  uint32_t tried = 0;      // hosts that failed in this row
  uint64_t row = 1;        // of hosts tried one after the other; see hosts.h
  uint32_t refusals = 0;   // in a row, of connections beyond those a host has
  Monotonic held_until{};  // no connection is opened before
  Monotonic lent_due = Monotonic::never();  // when the first of `lent` must go back unbegun
  Monotonic ride_until{};                   // jobs wait for one of those until then; 0: none does
  int64_t transaction_ns = INT64_MAX;       // smoothed time from begin to end
  bool work = false;                        // the queue has something, as far as we know
  bool failed = false;                      // the queue was told so
  bool crowded = false;                     // a host tried said that it takes no connection now
  bool lent_first = false;                  // whose turn it is, lent jobs or our own

  bool wants_connections() const { return work || !lent.empty(); }
  bool live() const { return opening > 0 || ready > 0; }
  // All have had their turn, or a connection past EHLO ends and passes no work on.
  void end_row() {
    tried = 0;
    ++row;
  }
  bool fast() const { return transaction_ns < kFastTransactionNs; }
};

}  // namespace ringmta::client
