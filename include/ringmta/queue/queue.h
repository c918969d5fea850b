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
// Memory per queued recipient: 200 octets or less all told, the spool's slot included.
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
  uint32_t recipient = 0;    // index in head->envelope.recipients
  const Job* job = nullptr;  // null when no attempt is behind it (received, expired, removed)
  const JobRecipient* result = nullptr;  // likewise
  std::string_view site;                 // route or site name
  uint64_t size = 0;                     // octets of trace lines and content
  uint16_t attempts = 0;
  WallTime next_attempt{};  // deferred
  MessageId dsn{};          // the DSN sent about it, if any
};

// The queue's surroundings, by plain function pointers (no class hierarchy, no std::function on the
// path).
struct QueueHost {
  void* self = nullptr;
  void (*outcome)(void* self, const Outcome& outcome) = nullptr;
  void (*site_has_work)(void* self,
                        SiteId site) = nullptr;  // local site: its pool should ask for a job
  void (*lend)(void* self, ShardId home, Job* job) = nullptr;  // remote home: post it there
};

struct QueueCounters {
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

  // Scheduling. A pool asks for work when a connection can begin a transaction; null: nothing is
  // ready (contents may be on their way from disk; site_has_work() is called when they are here).
  Job* next_job(SiteId site);
  bool has_work(SiteId site) const;
  void job_done(Job* job);  // every recipient has a verdict: record, reschedule, bounce, finish;
                            // the Job is the queue's again
  // The whole site is unreachable (no connection could be made): every ready delivery of it is held
  // until then.
  void site_failed(SiteId site, std::string_view reason, Monotonic until);
  void site_recovered(SiteId site);

  const Site& site(SiteId id) const;
  size_t sites() const;
  void set_route_addresses(uint32_t route,
                           std::vector<ResolvedHost> hosts);  // from the supervisor, on change

  // A DSN that could not be stored yet (spool full) waits here; spool Done events whose tag has
  // kQueueTag set come here.
  void on_spool_done(const spool::Done& done);
  void on_timer(const ring::Event& event);
  bool run();   // stage: due retries, expiry (bounded slices); true: more to do
  void stop();  // no new jobs from now on (shutdown)

  // The operator's side; bounded slices: `cursor` 0 begins, the result's cursor 0 ends.
  struct Listing {
    struct Entry {
      MessageId id{};
      uint32_t recipient = 0;
      std::string sender, address, site, last_reply;
      WallTime arrival{}, next_attempt{};
      uint16_t attempts = 0;
      uint64_t size = 0;
      bool active = false;
    };
    std::vector<Entry> entries;
    uint64_t cursor = 0;
  };
  struct Filter {
    std::string domain, sender, site;  // exact, empty: any
    MessageId id{};
  };
  Listing list(const Filter& filter, uint64_t cursor, size_t entries_max);
  uint64_t retry(const Filter& filter);   // due now; how many recipients
  uint64_t remove(const Filter& filter);  // removed by the operator, no DSN; how many recipients

  const QueueCounters& counters() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

inline constexpr uint64_t kQueueTag =
    1ULL << 63;  // in the tag of Spool::store()/load() made by the queue

}  // namespace ringmta::queue
