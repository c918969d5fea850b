// SPDX-License-Identifier: GPL-3.0-or-later
// Failed log-ins, counted for as long as they matter, in memory that does not grow however many
// addresses an attacker has.
//
// One table of atomics for all shards: a place holds a tag, a count and the time of the last
// failure in one word. Where two keys meet, the younger one takes the place unless the older one is
// blocked and still counts: forgetting a small count costs little, and a block cannot be washed out
// by noise from elsewhere (1 in 65,536 pairs of keys would have to meet first).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "ringmta/base/time.h"

namespace ringmta::sasl {

class FailureTable final {
 public:
  static constexpr size_t kPlaces = 65'536;
  static constexpr uint32_t kCountMax = 65'535;

  // Failures of `key` (a hash) not older than `kept_for` after the last of them.
  uint32_t count(uint64_t key, Monotonic now, Milliseconds kept_for) const;
  // One more; the number with it. `keep_from`: a meeting key with so many keeps its place.
  uint32_t add(uint64_t key, Monotonic now, Milliseconds kept_for, uint32_t keep_from);
  void forget(uint64_t key);

 private:
  struct Entry {
    uint16_t tag = 0;
    uint16_t count = 0;
    uint32_t second = 0;
  };
  static uint64_t pack(Entry entry) {
    return uint64_t{entry.tag} << 48 | uint64_t{entry.count} << 32 | entry.second;
  }
  static Entry unpack(uint64_t word) {
    return {static_cast<uint16_t>(word >> 48), static_cast<uint16_t>(word >> 32),
            static_cast<uint32_t>(word)};
  }
  static bool alive(Entry entry, uint32_t second, Milliseconds kept_for);

  std::array<std::atomic<uint64_t>, kPlaces> places_{};
};

}  // namespace ringmta::sasl
