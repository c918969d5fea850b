// SPDX-License-Identifier: GPL-3.0-or-later
// The wheel turns. Level 0 has a slot per tick for the next 256 ticks, level 1 one per 256 ticks,
// and so on; when level 0 comes round, the next slot of level 1 is spread over it (a cascade).
//
// The insight: a bit per slot says where timers may be, so an idle shard finds its next wake-up by
// looking at sixteen words, and a clock that jumped by a day (a simulated one, or a machine that
// slept) costs no more than one that moved by a tick: empty slots are never visited.
#include "ringmta/ring/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace ringmta::ring {
namespace {

constexpr int kLevelBits = 8;
constexpr int64_t kReach = int64_t{1} << (4 * kLevelBits);  // ticks the wheel can tell apart

// The first tick that begins at or after `due`.
int64_t tick_of(Monotonic due) {
  const int64_t whole = due.ns / TimerWheel::kTickNs;
  return due.ns % TimerWheel::kTickNs > 0 ? whole + 1 : whole;
}

}  // namespace

TimerWheel::TimerWheel(Monotonic start) : tick_(start.ns / kTickNs), now_(start) {}

void TimerWheel::arm(Timer& timer, Monotonic due) {
  timer.link.unlink();
  timer.due = due;
  place(timer);
}

void TimerWheel::place(Timer& timer) {
  const int64_t tick = tick_of(timer.due);
  if (tick < tick_ || timer.due <= now_) {
    due_.push_back(timer);
    return;
  }
  const int64_t distance = tick - tick_;
  if (distance >= kReach) {  // waits in the last slot there is and is placed anew from there
    place_at(kLevels - 1, tick_ + kReach - 1, timer);
    return;
  }
  size_t level = 0;
  while (distance >> ((level + 1) * kLevelBits) != 0) ++level;
  place_at(level, tick, timer);
}

void TimerWheel::place_at(size_t level, int64_t tick, Timer& timer) {
  const auto slot = static_cast<size_t>(tick >> (level * kLevelBits)) % kSlots;
  levels_[level][slot].push_back(timer);
  occupied_[level][slot / 64] |= uint64_t{1} << (slot % 64);
}

// The next tick at which a slot must be handed out or cascaded; INT64_MAX when there is none.
int64_t TimerWheel::next_work_tick() const {
  int64_t best = INT64_MAX;
  for (size_t level = 0; level < kLevels; ++level) {
    const size_t shift = level * kLevelBits;
    // A higher level's current slot was cascaded when its first tick passed, so what is in it now
    // is for a whole round later.
    const int64_t base = (tick_ + (int64_t{1} << shift) - 1) >> shift;
    const auto start = static_cast<size_t>(base) % kSlots;
    for (size_t looked = 0; looked < kSlots;) {
      const size_t slot = (start + looked) % kSlots;
      const size_t bit = slot % 64;
      uint64_t& word = occupied_[level][slot / 64];
      const uint64_t here = word >> bit;
      if (here == 0) {
        looked += 64 - bit;
        continue;
      }
      const auto skip = static_cast<size_t>(std::countr_zero(here));
      if (looked + skip >= kSlots) break;
      if (levels_[level][slot + skip].empty()) {
        word &= ~(uint64_t{1} << (bit + skip));
        continue;
      }
      const auto ahead = static_cast<int64_t>(looked + skip);
      best = std::min(best, (base + ahead) << shift);
      break;
    }
  }
  return best;
}

Monotonic TimerWheel::next_due() const {
  if (!due_.empty()) return now_;
  const int64_t tick = next_work_tick();
  return tick > INT64_MAX / kTickNs ? Monotonic::never() : Monotonic{tick * kTickNs};
}

void TimerWheel::cascade(size_t level, size_t slot) {
  Slot& from = levels_[level][slot];
  occupied_[level][slot / 64] &= ~(uint64_t{1} << (slot % 64));
  // None comes back to this slot: it is nearer than this level now, or due beyond the wheel's reach
  // and then placed a slot further.
  while (Timer* timer = from.pop_front()) place(*timer);
}

void TimerWheel::process(int64_t tick) {
  tick_ = tick;
  for (size_t level = kLevels - 1; level > 0; --level) {
    const size_t shift = level * kLevelBits;
    if ((tick & ((int64_t{1} << shift) - 1)) != 0) continue;
    cascade(level, static_cast<size_t>(tick >> shift) % kSlots);
  }
  const auto slot = static_cast<size_t>(tick) % kSlots;
  occupied_[0][slot / 64] &= ~(uint64_t{1} << (slot % 64));
  while (Timer* timer = levels_[0][slot].pop_front()) due_.push_back(*timer);
  tick_ = tick + 1;
}

Timer* TimerWheel::pop_due(Monotonic now) {
  now_ = std::max(now_, now);
  const int64_t now_tick = now_.ns / kTickNs;
  while (due_.empty() && tick_ <= now_tick) {
    const int64_t next = next_work_tick();
    if (next > now_tick) {
      tick_ = now_tick + 1;
      break;
    }
    process(next);
  }
  return due_.pop_front();
}

}  // namespace ringmta::ring
