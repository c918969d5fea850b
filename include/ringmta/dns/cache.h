// SPDX-License-Identifier: GPL-3.0-or-later
// What one shard knows of the DNS, for as long as it may be believed, in bounded memory.
//
// Which shard: a mail domain has a home shard (dns::home_shard() in mx.h), which asks and remembers
// for all of them. So a domain is asked for once, not once per shard, and costs memory once; only a
// mail host shared by domains of several homes is kept by each of those.
//
// Eviction is SIEVE (Zhang, Yang, Yue, Vigfusson and Rashmi, NSDI 2024): entries queue up in order
// of arrival, a hit sets one bit and moves nothing, and a hand going from the oldest to the newest
// takes the first entry without the bit, clearing bits as it passes. A run of names asked for once
// (a list with a hundred thousand dead domains) passes through without driving out those in use.
//
// How long: positive answers for their TTL within [ttl_min, ttl_max]; a "no" for its SOA's time
// within [ttl_min, negative_ttl_max] (RFC 2308 5); failures for failure_ttl, five minutes at the
// most (RFC 2308 7.1, 7.2). What said not to be cached at all is kept for ttl_min too: asking again
// for each message would help nobody.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>

#include "ringmta/base/time.h"
#include "ringmta/dns/records.h"

namespace ringmta::dns {

struct CacheOptions {
  uint64_t octets_max = 32ULL << 20;         // per shard, all told
  Milliseconds ttl_min = seconds(30);        // floor
  Milliseconds ttl_max = hours(24);          // ceiling of positive answers
  Milliseconds negative_ttl_max = hours(1);  // ceiling of "no such name" and "no such records"
  Milliseconds failure_ttl = seconds(30);    // nobody could say
  uint64_t hash_seed[2] = {1, 2};            // a secret: see siphash.h
};

struct CacheCounters {
  uint64_t hits = 0;           // of these
  uint64_t negative_hits = 0;  // so many were "no" or "nobody could say"
  uint64_t misses = 0;
  uint64_t expired = 0;  // misses because the time was up
  uint64_t insertions = 0;
  uint64_t evictions = 0;  // before their time, for want of memory
  uint64_t prefetches = 0;
  uint64_t entries = 0;  // now
  uint64_t octets = 0;   // now
};

class Cache final {
 public:
  explicit Cache(const CacheOptions& options);
  ~Cache();
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;

  struct Hit {
    RecordSet records;  // valid until the next store()
    bool prefetch =
        false;  // in the last tenth of its time, and nobody was told so before: ask again now
  };
  uint64_t hash(const Name& name, RecordType type) const;
  // nullopt: not known (any more). `hash` is hash(name, type).
  std::optional<Hit> find(const Name& name, RecordType type, uint64_t hash, Monotonic now);

  // Replaces what was known. `ttl` is the answer's own; not used with `failed`. Returns when it
  // will be forgotten, whether there was room to keep it or not.
  Monotonic store(const Name& name, const RecordSet& records, Milliseconds ttl, Monotonic now);

  const CacheCounters& counters() const { return counters_; }

 private:
  struct Entry;
  Entry** find_place(const Name& name, RecordType type, uint64_t hash);
  void remove(Entry** place);
  void remove(Entry& entry);
  bool make_room(uint64_t octets, Monotonic now);
  void enqueue(Entry& entry);
  Milliseconds lifetime(Fate fate, Milliseconds ttl) const;

  const CacheOptions options_;
  CacheCounters counters_;
  uint64_t mask_;
  struct Free {
    void operator()(Entry** table) const { std::free(static_cast<void*>(table)); }
  };
  std::unique_ptr<Entry*[], Free> buckets_;
  Entry* newest_ = nullptr;
  Entry* oldest_ = nullptr;
  Entry* hand_ = nullptr;  // where eviction goes on; null: at the oldest
};

}  // namespace ringmta::dns
