// SPDX-License-Identifier: GPL-3.0-or-later
// The queue of one shard: which recipients of which messages wait for what, and whose turn it is.
//
// The insight: a message is kept where it was accepted (its log is there), but scheduled per *site*
// (all that is reached through the same hosts). What waits costs a few dozen octets; only when a
// connection asks (next_job) is an attempt made up in full, with the message's memory pinned (and
// read back first if it was evicted).
//
// A site has connections on this shard (`local_share` of its limit), or, where its limit is smaller
// than the number of shards, on its home shard; then jobs are lent there through a mailbox, at most
// kHandoffMax outstanding.
//
// Memory per queued recipient: 200 octets or less all told, the spool's slot included (bench_queue
// measures 172). The cost of a message does not depend on how many wait.
//
// Whose turn: within a site, tenants (the submitter, else the sender's domain) share the turns by
// deficit round robin; a delivery costs the octets of its message plus 2 KiB for the transaction.
//
// What waits behind a dead site or an unknown domain is not attempted: it has no events and counts
// no attempts, but it expires, and its senders are told of the delay, on time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/queue/job.h"
#include "ringmta/queue/options.h"
#include "ringmta/shard/loop.h"
#include "ringmta/spool/spool.h"

namespace ringmta::queue {

// What became of a recipient, told once per attempt or final fate; views are valid during the call
// only.
struct Outcome {
  enum class Kind : uint8_t { received, delivered, deferred, bounced, expired, removed };
  Kind kind = Kind::received;
  MessageId id{};
  const spool::MessageHead* head = nullptr;
  uint32_t recipient = 0;                // index in head->envelope.recipients
  const Job* job = nullptr;              // null: no attempt, nor trouble known, is behind it
  const JobRecipient* result = nullptr;  // likewise
  std::string_view site;                 // route or site name
  uint64_t size = 0;                     // octets of trace lines and content
  uint16_t attempts = 0;
  WallTime next_attempt{};  // deferred
  MessageId dsn{};          // the DSN sent about it, if any
  // Received: how it came, "ESMTPS", "TLSv1.3", "TLS_AES_128_GCM_SHA256"; empty: not known, no TLS.
  std::string_view protocol{}, tls_version{}, tls_cipher{};
};

// A site that cannot be reached, or a domain whose hosts are not known for now: its mail waits. One
// is told each time that it begins to wait (again); no attempt is counted against any message.
struct Held {
  std::string_view site;    // route or site name; empty: it is a domain
  std::string_view domain;  // empty: it is a site
  uint64_t waiting = 0;     // deliveries on this shard
  uint16_t code = 0;        // as in JobRecipient
  smtp::EnhancedStatus status{};
  std::string_view text;       // why
  std::string_view peer_name;  // the host that said so; empty: our words
  WallTime next_attempt{};     // when it is tried again
};

// Why a site cannot be reached, as far as it is known.
struct SiteTrouble {
  std::string_view text;  // as in JobRecipient: the reply without its code, or our words
  smtp::EnhancedStatus status{4, 4, 1};
  // Where a host was reached and refused: what it said, and to what. It goes by this name.
  uint16_t code = 0;
  smtp::Phase phase = smtp::Phase::connect;
  std::string_view host{};
};

// The queue's surroundings, by plain function pointers (no class hierarchy, no std::function on the
// path).
struct QueueHost {
  void* self = nullptr;
  void (*outcome)(void* self, const Outcome& outcome) = nullptr;
  void (*held)(void* self, const Held& held) = nullptr;
  void (*site_has_work)(void* self,
                        SiteId site) = nullptr;  // local site: its pool should ask for a job
  void (*lend)(void* self, ShardId home, Job* job) = nullptr;  // remote home: post it there
  // A domain without a route: find out what it is and say so by domain_resolved(), within the call
  // or later. Asked once until answered; the view is valid during the call only. Null: domains
  // without a route wait for one until they expire.
  void (*resolve)(void* self, std::string_view domain) = nullptr;
  // The site has been idle for long and is about to be forgotten; its id may come to mean another
  // one. False: it is still in use here (connections, borrowed jobs), ask again later. Null: sites
  // are never forgotten.
  bool (*site_gone)(void* self, SiteId site) = nullptr;
  // A DSN on its way into the spool. `taken`: it is stored with this tag when it has its
  // signatures, and the spool's Done comes to on_spool_done() as ever. Null: none is signed.
  enum class Signing : uint8_t { unneeded, taken, busy };
  Signing (*sign)(void* self, MessageId id, const spool::MessageHead& head,
                  std::string_view content, uint64_t tag) = nullptr;
};

// What a domain without a route turned out to be.
struct Resolution {
  enum class Kind : uint8_t {
    hosts,      // deliver to `hosts`, the site named `site`
    temporary,  // not known now (SERVFAIL, timeout): ask again at `until`; its mail waits
    permanent   // it takes no mail (NXDOMAIN 5.1.2, null MX 5.1.10): its mail is returned
  };
  Kind kind = Kind::temporary;
  std::string site;                 // equal for domains with the same MX set: they share one site
  std::vector<ResolvedHost> hosts;  // with preferences; not empty
  Monotonic until{};                // how long this holds
  // From then on it is asked for again while there is mail, ahead of `until`, so that nobody's mail
  // waits for the answer. Never: not before its end.
  Monotonic refresh_from = Monotonic::never();
  uint16_t code = 0;  // temporary, permanent: as an SMTP reply would say it
  smtp::EnhancedStatus status{};
  std::string text;
};

struct QueueCounters {
  bool full = false;                             // at its limit: no new mail is to be taken
  uint64_t messages = 0, recipients = 0;         // living
  uint64_t ready = 0, deferred = 0, active = 0;  // deliveries (message x site)
  uint64_t delivered = 0, deferrals = 0, bounced = 0, expired = 0,
           removed = 0;  // recipients, since start
  uint64_t dsns = 0;
  uint64_t possible_duplicates = 0;
  uint64_t memory_octets = 0;
};

class Queue final {
 public:
  Queue(shard::Loop& loop, spool::Spool& spool, const QueueOptions& options, ShardId shard,
        uint32_t shards, QueueHost host);
  ~Queue();

  // A message just committed (or recovered: with its known states). Recipients are routed and
  // become ready (or due later).
  void add(spool::StoredHandle stored, const spool::MessageHead& head,
           std::span<const spool::RecipientState> states);

  // At QueueOptions::recipients_max: who takes mail in should say 452.
  bool full() const;

  // Scheduling. A pool asks for work when a connection can begin a transaction; null: nothing is
  // ready (contents may be on their way from disk; site_has_work() is called when they are here).
  Job* next_job(SiteId site);
  bool has_work(SiteId site) const { return work(site) > 0; }
  // How many jobs could be taken now or soon: no more further connections than that are of use. A
  // site that was unreachable has 1 (the probe), then a window that grows with each success.
  uint32_t work(SiteId site) const;
  void job_done(Job* job);  // every recipient has a verdict: record, reschedule, bounce, finish;
                            // the Job is the queue's again
  // The whole site is unreachable (no connection could be made): every ready delivery of it is held
  // until then. The trouble is told of mail that expires meanwhile. `crowded`: a host said that it
  // takes no connection now; other shards are asked whether they have one.
  void site_failed(SiteId site, const SiteTrouble& trouble, Monotonic until, bool crowded = false);
  void site_failed(SiteId site, std::string_view reason, Monotonic until,
                   smtp::EnhancedStatus status = {4, 4, 1}, bool crowded = false);
  void site_recovered(SiteId site);

  const Site& site(SiteId id) const;
  size_t sites() const;  // living
  // A job lent by another shard has arrived here: sets its `site` to this shard's id (the site is
  // made if need be). Before the pools get it.
  void borrow(Job* job);
  // The answer to QueueHost::resolve, or news about a domain at any time.
  void domain_resolved(std::string_view domain, const Resolution& resolution);
  void set_route_addresses(uint32_t route,
                           std::vector<ResolvedHost> hosts);  // from the supervisor, on change

  // Other options from now on (but for connection_rules): limits, schedules, and which route serves
  // which domain. Routes keep their number, names and kind (SMTP or LMTP); their addresses come by
  // set_route_addresses(). What waits for a route that does not serve its domain any more moves on
  // in slices.
  void reload(const QueueOptions& options);

  // A DSN that could not be stored yet (spool full) waits here; spool Done events whose tag has
  // kQueueTag set come here.
  void on_spool_done(const spool::Done& done);
  void on_timer(const ring::Event& event);
  bool run();   // stage: due retries, expiry (bounded slices); true: more to do
  void stop();  // no new jobs from now on (shutdown)

  // The operator's side; bounded slices: `cursor` 0 begins, the result's cursor 0 ends. `waiting`:
  // contents are on their way from disk, ask again with the result's cursor in a later turn.
  struct Listing {
    enum class State : uint8_t {
      ready,      // its turn comes next
      held,       // its site cannot be reached, and is tried again at `next_attempt`
      deferred,   // until `next_attempt`
      active,     // an attempt is under way
      unresolved  // what its domain is, is being found out; where that failed, again at
                  // `next_attempt`
    };
    struct Entry {
      MessageId id{};
      uint32_t recipient = 0;
      std::string sender, address, site, last_reply;
      WallTime arrival{}, next_attempt{};
      uint16_t attempts = 0;
      uint64_t size = 0;
      State state = State::ready;
    };
    std::vector<Entry> entries;
    uint64_t cursor = 0;
    bool waiting = false;
  };
  struct Change {
    uint64_t recipients = 0;  // changed by this slice
    uint64_t cursor = 0;
    bool waiting = false;
  };
  struct Filter {
    std::string domain{}, sender{}, site{};  // exact, empty: any
    MessageId id{};
  };
  Listing list(const Filter& filter, uint64_t cursor, size_t entries_max);
  Change retry(const Filter& filter, uint64_t cursor);   // due now
  Change remove(const Filter& filter, uint64_t cursor);  // no DSN; what is under way is left alone

  const QueueCounters& counters() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

inline constexpr uint32_t kHandoffMax = 16;  // jobs of a site a shard has lent at a time

inline constexpr uint64_t kQueueTag =
    1ULL << 63;  // in the tag of Spool::store()/load() made by the queue

}  // namespace ringmta::queue
