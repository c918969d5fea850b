// SPDX-License-Identifier: GPL-3.0-or-later
// One shard's stub resolver: questions go to the configured recursive servers over UDP, again over
// TCP where the answer was cut, and what comes back is remembered. It never blocks and never calls
// back from within a call: what the cache knows is returned at once, everything else is handed out
// by run(), a stage of the loop.
//
// The insight: a question that was sent twice has two chances. When a server is late the next one
// is asked too, but the first may still answer: a recursive server that takes three seconds over a
// slow domain is not a dead one. Only the choice of the next server suffers from lateness.
//
// Against forged answers (RFC 5452): sockets connected to one server, so that only it is heard;
// ports chosen by the system at random, each for few questions and a short time; random ids;
// optionally capitals at random (0x20). Who guesses too often makes us ask over TCP instead.
//
// Bounds: questions under way, waiting, sockets, connections: each has a limit below. Bursts are
// paced to what the servers take without losing any (src/dns/pace.h). At the limit
// of questions under way, those older than slow_after give way, oldest first, so that dead domains
// never hold up living ones. Beyond the limit of waiting ones, lookups fail as `overloaded`.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ringmta/base/address.h"
#include "ringmta/base/intrusive_list.h"
#include "ringmta/base/time.h"
#include "ringmta/dns/cache.h"
#include "ringmta/dns/records.h"
#include "ringmta/dns/resolv_conf.h"
#include "ringmta/shard/loop.h"

namespace ringmta::dns {

struct ResolverOptions {
  std::vector<SocketAddress> servers;             // at most kServersMax; port 0: 53
  Milliseconds attempt_timeout = seconds(1);      // until the next server is asked too; doubles ...
  Milliseconds attempt_timeout_max = seconds(4);  // ... up to this
  Milliseconds query_timeout = seconds(12);       // for a question, aliases and all
  Milliseconds tcp_timeout = seconds(5);          // for a question over TCP, connecting included
  Milliseconds tcp_idle = seconds(3);             // a connection without a question is kept so long
  Milliseconds slow_after = seconds(1);           // then a question may have to give way
  uint32_t queries_max = 4096;                    // under way
  uint32_t waiting_max = 16384;                   // behind those
  uint32_t tcp_connections_max = 64;
  bool random_capitals = false;  // 0x20, for servers not reached over a trusted path
  CacheOptions cache;            // its hash_seed is set by the resolver
};

// A wish to know, embedded in whoever wishes. `done` is called by Resolver::run(), once, unless
// cancelled; `records` is valid during the call.
struct Lookup {
  ListLink link;
  void* self = nullptr;
  void (*done)(void* self, Lookup& lookup, const RecordSet& records) = nullptr;
  bool pending() const { return link.linked(); }
};

struct ResolverCounters {
  uint64_t lookups = 0;
  uint64_t coalesced = 0;  // joined a question already under way
  uint64_t questions = 0;  // not in the cache: asked of servers (prefetches included)
  uint64_t udp_sent = 0;   // datagrams, repetitions included
  uint64_t tcp_sent = 0;
  uint64_t answers = 0;    // that settled something
  uint64_t truncated = 0;  // went on over TCP
  uint64_t timeouts = 0;   // attempts nobody had answered when the next began
  uint64_t errors = 0;     // SERVFAIL, REFUSED and the like
  uint64_t malformed = 0;
  uint64_t stray = 0;       // datagrams that answer nothing we asked: late, or forged
  uint64_t suspected = 0;   // sockets given up because of too many of those
  uint64_t failed = 0;      // questions without an answer in the end
  uint64_t gave_way = 0;    // of these: to make room for younger ones
  uint64_t overloaded = 0;  // lookups refused
  uint64_t in_flight = 0;   // now
  uint64_t waiting = 0;     // now
};

class Resolver final {
 public:
  // The loop's events for Owner::dns are the caller's to pass on to on_event().
  Resolver(shard::Loop& loop, const ResolverOptions& options);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // What the cache knows (valid until the next call), or nothing: then lookup.done() will be
  // called.
  std::optional<RecordSet> lookup(const Name& name, RecordType type, Lookup& lookup);
  static void cancel(Lookup& lookup) { lookup.link.unlink(); }

  void on_event(const ring::Event& event);
  bool run();  // stage: hands out what came in; true: more to do
  // A turn of the loop at that time, or earlier: for who builds on this and has times of its own.
  void wake_at(Monotonic time);

  // Other servers from now on (a reload). Questions under way go on with the old ones.
  void set_servers(const std::vector<SocketAddress>& servers);

  struct ServerState {
    SocketAddress address;
    double round_trip_ms = 0;  // smoothed
    bool down = false;
    uint64_t sent = 0, answered = 0, timeouts = 0;
  };
  std::vector<ServerState> servers() const;
  const ResolverCounters& counters() const;
  const CacheCounters& cache_counters() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ringmta::dns
