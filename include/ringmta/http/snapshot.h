// SPDX-License-Identifier: GPL-3.0-or-later
// What one shard looks like from outside, copied a few times a second while something happens.
//
// The insight: nobody who looks may touch a shard's memory, and no shard may wait for a looker. So
// a shard writes its numbers into a cell of its own whenever it likes, and readers take the cell by
// a sequence lock (Boehm, "Can seqlocks get along with programming language memory models?", 2012):
// the writer never waits, a reader that met a write tries again. All words are atomics, so there is
// no data race even in theory.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <type_traits>

#include "ringmta/client/pool.h"
#include "ringmta/dns/mx.h"
#include "ringmta/dns/resolver.h"
#include "ringmta/events/writer.h"
#include "ringmta/queue/queue.h"
#include "ringmta/ring/io.h"
#include "ringmta/server/server.h"
#include "ringmta/spool/spool.h"

namespace ringmta::http {

struct ShardSnapshot {
  uint32_t shard = 0;
  int32_t cpu = -1;  // pinned to; -1: not pinned
  server::ServerCounters server;
  queue::QueueCounters queue;
  client::ClientCounters client;
  spool::SpoolCounters spool;
  ring::IoCounters ring;
  events::EventCounters events;
  dns::ResolverCounters dns;
  dns::CacheCounters dns_cache;
  dns::MxCounters mx;
  uint64_t streams_open = 0;   // Io::streams_open()
  uint64_t cpu_time_us = 0;    // of the shard's thread, user and system
  uint64_t memory_octets = 0;  // all that this shard accounts for: messages, queue, events, buffers
  uint64_t stats_time_ms = 0;  // wall clock when this was taken; 0: nothing was published yet
};

// What a site of one shard's queue looks like; made on demand, not published.
struct SiteSnapshot {
  std::string name;
  uint64_t ready = 0, deferred = 0, active = 0;  // deliveries
  uint64_t connections = 0;
  std::string held_reason;   // why nothing is tried now; empty: it is not held
  uint64_t held_for_ms = 0;  // from now on
};

// One writer thread, any number of reader threads.
template <typename T>
  requires std::is_trivially_copyable_v<T>
class SnapshotCell final {
 public:
  SnapshotCell() = default;
  SnapshotCell(const SnapshotCell&) = delete;
  SnapshotCell& operator=(const SnapshotCell&) = delete;

  // The writer's thread only. Wait-free; about a nanosecond per word.
  void publish(const T& value) {
    Words words{};
    std::memcpy(words.data(), &value, sizeof(T));
    const uint64_t sequence = sequence_.load(std::memory_order_relaxed);
    sequence_.store(sequence + 1, std::memory_order_relaxed);
    // Each word is released: whoever sees one of them sees the odd sequence number too.
    for (size_t i = 0; i < words.size(); ++i) words_[i].store(words[i], std::memory_order_release);
    sequence_.store(sequence + 2, std::memory_order_release);
  }

  // False: nothing was published yet, `value` is untouched.
  bool read(T& value) const {
    Words words;
    for (;;) {
      const uint64_t before = sequence_.load(std::memory_order_acquire);
      if (before == 0) return false;
      if (before % 2 == 0) {
        for (size_t i = 0; i < words.size(); ++i) {
          words[i] = words_[i].load(std::memory_order_acquire);
        }
        if (sequence_.load(std::memory_order_relaxed) == before) break;
      } else {
        std::this_thread::yield();  // the writer may have been interrupted in the midst of it
      }
    }
    std::memcpy(static_cast<void*>(&value), words.data(), sizeof(T));
    return true;
  }

 private:
  static constexpr size_t kWords = (sizeof(T) + sizeof(uint64_t) - 1) / sizeof(uint64_t);
  using Words = std::array<uint64_t, kWords>;

  alignas(shard::kCacheLine) std::atomic<uint64_t> sequence_{0};  // odd: a write is under way
  std::array<std::atomic<uint64_t>, kWords> words_{};
};

}  // namespace ringmta::http
