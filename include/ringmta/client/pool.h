// SPDX-License-Identifier: GPL-3.0-or-later
// Connections of one shard to the sites it delivers to: opened when there is work, reused while
// there is, closed when idle too long. A connection pulls its next job; nobody pushes. What is owed
// by the peer has a timeout per phase (RFC 5321 4.5.3.2).
//
// The insight: a job is taken only by a connection that has got past EHLO, so whatever keeps a site
// from being reached costs one attempt of one connection, never one per message.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ringmta/client/security.h"
#include "ringmta/queue/queue.h"
#include "ringmta/shard/loop.h"
#include "ringmta/smtp/client_session.h"

namespace ringmta::client {

struct ClientTimeouts {
  Milliseconds connect = seconds(30);
  Milliseconds greeting = minutes(5);
  Milliseconds ehlo = minutes(5);
  Milliseconds tls = minutes(1);   // the reply to STARTTLS, each flight of the handshake
  Milliseconds auth = minutes(3);  // each reply while authenticating
  Milliseconds mail = minutes(5);
  Milliseconds recipient = minutes(5);
  Milliseconds data = minutes(2);           // 354
  Milliseconds content_block = minutes(3);  // no progress while sending content
  Milliseconds content_end = minutes(10);   // the reply to the final dot
  Milliseconds quit = seconds(5);
  Milliseconds idle = seconds(10);  // an open connection without work
};

struct ClientPoolOptions {
  smtp::ClientOptions session;
  ClientTimeouts timeouts;
  // A host that refused or did not answer is skipped for so long at first, then twice as long ...
  // One probe is all that a dead site costs, so the first comes soon.
  Milliseconds host_retry_after = seconds(15);
  Milliseconds host_retry_longest = minutes(30);
  uint32_t hosts_tried_max = 5;  // of a site in a row, before the site counts as unreachable
  Milliseconds connection_age_max = minutes(5);  // an older one begins no transaction; 0: no limit
  Milliseconds warm_for = seconds(60);  // the last connection of a site that was busy stays so long
  Milliseconds lent_wait_max = seconds(60);  // a lent job not begun by then goes back
  Milliseconds stalled_after = minutes(2);   // without progress for so long: the watchdog tells
  uint32_t connections_max = 20000;          // of this shard, all sites
  bool deliver_to_loopback = false;          // permission to connect to 127.0.0.0/8 and ::1
  Security mx;                               // of sites found by MX that no rule is for
  std::vector<SecurityRule> rules;           // by queue::Site::rule
  std::vector<Security> routes;              // by queue::Site::route; a missing one is as `mx`
  TlsLimits tls;
  SocketAddress source4{}, source6{};  // bind addresses, length 0: the system's choice
  // Of this machine's interfaces: they decide which addresses of a host come first (RFC 6724).
  // Empty: not known.
  std::vector<SocketAddress> machine_addresses;
};

struct ClientCounters {
  uint64_t connections = 0, connecting = 0, idle = 0;  // now
  uint64_t opened = 0, connect_failures = 0, lost = 0;
  uint64_t transactions = 0, bdat_transactions = 0;
  uint64_t timeouts = 0;
  uint64_t stalled = 0;        // connections (and sites with work) found without progress
  uint64_t site_failures = 0;  // no host of a site could be reached
  uint64_t sends = 0;          // writes to peers
  uint64_t tls_handshakes = 0, tls_resumed = 0;  // done; of these resumed
  uint64_t tls_failures = 0;   // handshakes not done, or no reply to the EHLO behind them
  uint64_t tls_fallbacks = 0;  // of these: the mail goes in clear text
  uint64_t tls_postponed = 0;  // times a handshake waited for the next turn
  uint64_t tls_transactions = 0;
  uint64_t authenticated = 0, auth_failures = 0;
};

class Pools final {
 public:
  Pools(shard::Loop& loop, queue::Queue& queue, const ClientPoolOptions& options, ShardId shard,
        void* self,
        void (*return_job)(void* self,
                           queue::Job* job));  // return_job: a job lent by another shard is done
  ~Pools();

  // Where this relay listens itself: nothing is delivered there (a wildcard address counts for
  // every address of this machine).
  void set_own_addresses(std::span<const SocketAddress> listening);

  // Shared by the shards, and outlives this; before the first event. Without it the pool has its
  // own.
  void use_credentials(Credentials& credentials);

  // Other options from now on, but for connections_max, deliver_to_loopback and rules. Connections
  // whose security is to be another one end when they have finished what they have.
  void reload(const ClientPoolOptions& options);

  void site_has_work(queue::SiteId site);  // from the queue
  // The operator wants mail tried now: hosts that failed are not spared any longer.
  void try_hosts_again();
  // Connections, borrowed jobs or a failed host's memory: its id must not change its meaning yet.
  bool knows(queue::SiteId site) const;
  void lent(
      queue::Job* job);  // from another shard: deliver it here (this shard is the site's home)
  void on_event(const ring::Event& event);  // events with Owner::client tokens, timers included
  bool run();         // stage: begin transactions, open connections, flush output
  void stop();        // finish what is in flight, then QUIT; begin nothing
  void abort();       // end every connection now; what was in flight is judged
  bool idle() const;  // nothing in flight, no connection open
  const ClientCounters& counters() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ringmta::client
