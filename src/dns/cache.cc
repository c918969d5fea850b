// SPDX-License-Identifier: GPL-3.0-or-later
// A table of buckets over entries of one allocation each (header, name, records), and SIEVE's queue
// through them.
//
// Limits: the table is as large as octets_max asks for from the start and never grows, so no
// insertion ever pays for all others. An entry of more than a sixteenth of the cache is not kept.
#include "ringmta/dns/cache.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>

#include "siphash.h"

namespace ringmta::dns {

// Followed by the name and the packed records.
struct Cache::Entry {
  Entry* next;   // in the bucket
  Entry* newer;  // in the queue
  Entry* older;
  Monotonic expires;
  uint32_t lifetime_ms;
  uint32_t hash;
  uint32_t packed_octets;
  uint16_t count;
  RecordType type;
  Fate fate;
  Failure failure;
  uint8_t name_octets;
  bool visited;
  bool prefetched;  // somebody was told to ask again

  std::byte* tail() { return reinterpret_cast<std::byte*>(this + 1); }
  bool is(const Name& name, RecordType wanted) {
    const Bytes wire = name.wire();
    return type == wanted && name_octets == wire.size() &&
           std::memcmp(tail(), wire.data(), wire.size()) == 0;
  }
  size_t size() const { return sizeof(Entry) + name_octets + packed_octets; }
  // With what an allocator adds: a word of its own, and up to the next 16.
  static uint64_t octets(size_t size) { return (size + 8 + 15) / 16 * 16; }
};

namespace {

constexpr uint64_t kOctetsPerEntryExpected = 128;
constexpr uint32_t kPrefetchLifetimeMin_ms =
    10'000;  // shorter ones would be asked for all the time
constexpr int kHandStepsMax = 256;
constexpr Milliseconds kFailureTtlMax = minutes(5);  // RFC 2308 7

// What mail that is delivered depends on: also that there is no AAAA, or no MX. Mail for a name
// that does not exist is returned, and what failed must not be asked for ahead of its time.
bool is_worth_prefetching(Fate fate) { return fate == Fate::found || fate == Fate::no_data; }

}  // namespace

Cache::Cache(const CacheOptions& options) : options_(options) {
  const uint64_t buckets =
      std::bit_ceil(std::max<uint64_t>(options.octets_max / kOctetsPerEntryExpected, 64));
  mask_ = buckets - 1;
  // Pages come as they are touched.
  buckets_.reset(static_cast<Entry**>(std::calloc(buckets, sizeof(Entry*))));
  if (buckets_ == nullptr) throw std::bad_alloc();
  counters_.octets = buckets * sizeof(Entry*);
}

Cache::~Cache() {
  while (oldest_ != nullptr) remove(*oldest_);
}

uint64_t Cache::hash(const Name& name, RecordType type) const {
  return siphash({options_.hash_seed[0], options_.hash_seed[1]}, name.wire(),
                 static_cast<uint64_t>(type));
}

// Where the pointer to the entry is, or the end of its bucket.
Cache::Entry** Cache::find_place(const Name& name, RecordType type, uint64_t hash) {
  Entry** place = &buckets_[hash & mask_];
  const auto low = static_cast<uint32_t>(hash);
  while (*place != nullptr && ((*place)->hash != low || !(*place)->is(name, type))) {
    place = &(*place)->next;
  }
  return place;
}

std::optional<Cache::Hit> Cache::find(const Name& name, RecordType type, uint64_t hash,
                                      Monotonic now) {
  Entry** place = find_place(name, type, hash);
  Entry* entry = *place;
  if (entry == nullptr || entry->expires <= now) {
    ++counters_.misses;
    if (entry != nullptr) {
      ++counters_.expired;
      remove(place);
    }
    return std::nullopt;
  }
  ++counters_.hits;
  if (entry->fate != Fate::found) ++counters_.negative_hits;
  entry->visited = true;
  Hit hit;
  hit.records = {entry->fate,
                 entry->failure,
                 entry->type,
                 entry->count,
                 {entry->tail() + entry->name_octets, entry->packed_octets},
                 entry->expires};
  const int64_t left_ms = (entry->expires - now).count;
  if (!entry->prefetched && is_worth_prefetching(entry->fate) &&
      entry->lifetime_ms >= kPrefetchLifetimeMin_ms && left_ms <= entry->lifetime_ms / 10) {
    entry->prefetched = true;
    hit.prefetch = true;
    ++counters_.prefetches;
  }
  return hit;
}

Milliseconds Cache::lifetime(Fate fate, Milliseconds ttl) const {
  switch (fate) {
    case Fate::found:
      return std::clamp(ttl, options_.ttl_min, std::max(options_.ttl_min, options_.ttl_max));
    case Fate::no_data:
    case Fate::no_such_name:
      return std::clamp(ttl, options_.ttl_min,
                        std::max(options_.ttl_min, options_.negative_ttl_max));
    case Fate::failed:
      break;
  }
  return std::min(options_.failure_ttl, kFailureTtlMax);
}

Monotonic Cache::store(const Name& name, const RecordSet& records, Milliseconds ttl,
                       Monotonic now) {
  const Milliseconds life = lifetime(records.fate, ttl);
  const Monotonic expires = now + life;
  const uint64_t key = hash(name, records.type);
  Entry** place = find_place(name, records.type, key);
  if (*place != nullptr) remove(place);
  const Bytes wire = name.wire();
  const size_t size = sizeof(Entry) + wire.size() + records.packed.size();
  const uint64_t octets = Entry::octets(size);
  if (octets > options_.octets_max / 16 || !make_room(octets, now)) return expires;

  auto* entry = new (::operator new(size)) Entry{};
  entry->expires = expires;
  entry->lifetime_ms = static_cast<uint32_t>(std::min<int64_t>(life.count, UINT32_MAX));
  entry->hash = static_cast<uint32_t>(key);
  entry->packed_octets = static_cast<uint32_t>(records.packed.size());
  entry->count = records.count;
  entry->type = records.type;
  entry->fate = records.fate;
  entry->failure = records.failure;
  entry->name_octets = static_cast<uint8_t>(wire.size());
  std::memcpy(entry->tail(), wire.data(), wire.size());
  if (!records.packed.empty()) {
    std::memcpy(entry->tail() + wire.size(), records.packed.data(), records.packed.size());
  }
  Entry*& bucket = buckets_[key & mask_];
  entry->next = bucket;
  bucket = entry;
  enqueue(*entry);
  ++counters_.insertions;
  ++counters_.entries;
  counters_.octets += octets;
  return expires;
}

// SIEVE's hand. What has expired is taken as if nobody had asked for it. One insertion moves the
// hand a bounded way, so that it never pays for a whole cache in which everything was asked for.
bool Cache::make_room(uint64_t octets, Monotonic now) {
  while (counters_.octets + octets > options_.octets_max) {
    Entry* victim = hand_ != nullptr ? hand_ : oldest_;
    if (victim == nullptr) return false;
    for (int step = 0; victim->visited && victim->expires > now && step < kHandStepsMax; ++step) {
      victim->visited = false;
      victim = victim->newer != nullptr ? victim->newer : oldest_;
    }
    hand_ = victim;
    if (victim->expires > now) ++counters_.evictions;
    remove(*victim);
  }
  return true;
}

void Cache::enqueue(Entry& entry) {
  entry.older = newest_;
  entry.newer = nullptr;
  (newest_ != nullptr ? newest_->newer : oldest_) = &entry;
  newest_ = &entry;
}

void Cache::remove(Entry& entry) {
  Entry** place = &buckets_[entry.hash & mask_];
  while (*place != &entry) place = &(*place)->next;
  remove(place);
}

void Cache::remove(Entry** place) {
  Entry* entry = *place;
  *place = entry->next;
  if (hand_ == entry) hand_ = entry->newer;
  (entry->newer != nullptr ? entry->newer->older : newest_) = entry->older;
  (entry->older != nullptr ? entry->older->newer : oldest_) = entry->newer;
  --counters_.entries;
  const size_t size = entry->size();
  counters_.octets -= Entry::octets(size);
  entry->~Entry();
  ::operator delete(entry, size);
}

}  // namespace ringmta::dns
