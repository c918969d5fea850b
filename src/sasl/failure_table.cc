// SPDX-License-Identifier: GPL-3.0-or-later
#include "ringmta/sasl/failure_table.h"

#include <algorithm>

namespace ringmta::sasl {
namespace {

size_t place_of(uint64_t key) { return key & (FailureTable::kPlaces - 1); }
uint16_t tag_of(uint64_t key) { return static_cast<uint16_t>(key >> 48); }
uint32_t second_of(Monotonic now) { return static_cast<uint32_t>(now.ns / 1'000'000'000); }

}  // namespace

bool FailureTable::alive(Entry entry, uint32_t second, Milliseconds kept_for) {
  return entry.count != 0 && (second - entry.second) * uint64_t{1000} <
                                 static_cast<uint64_t>(std::max<int64_t>(kept_for.count, 1));
}

uint32_t FailureTable::count(uint64_t key, Monotonic now, Milliseconds kept_for) const {
  const Entry entry = unpack(places_[place_of(key)].load(std::memory_order_relaxed));
  return entry.tag == tag_of(key) && alive(entry, second_of(now), kept_for) ? entry.count : 0;
}

uint32_t FailureTable::add(uint64_t key, Monotonic now, Milliseconds kept_for, uint32_t keep_from) {
  std::atomic<uint64_t>& place = places_[place_of(key)];
  uint64_t word = place.load(std::memory_order_relaxed);
  Entry next;
  do {
    const Entry entry = unpack(word);
    const bool counts = alive(entry, second_of(now), kept_for);
    if (counts && entry.tag != tag_of(key) && entry.count >= keep_from) return 1;
    const uint32_t before = counts && entry.tag == tag_of(key) ? entry.count : 0;
    next = {tag_of(key), static_cast<uint16_t>(std::min(before + 1, kCountMax)), second_of(now)};
  } while (!place.compare_exchange_weak(word, pack(next), std::memory_order_relaxed));
  return next.count;
}

void FailureTable::forget(uint64_t key) {
  std::atomic<uint64_t>& place = places_[place_of(key)];
  uint64_t word = place.load(std::memory_order_relaxed);
  while (unpack(word).tag == tag_of(key) &&
         !place.compare_exchange_weak(word, 0, std::memory_order_relaxed)) {
  }
}

}  // namespace ringmta::sasl
