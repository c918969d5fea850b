// SPDX-License-Identifier: GPL-3.0-or-later
// Timers by the hundred thousand: a hierarchical wheel (Varghese and Lauck, 1987) of 4 levels of
// 256 slots with a tick of 4 ms, so setting, moving and cancelling are O(1) and a tick touches only
// what is due. Timers live inside their owners (intrusive, 40 octets); the wheel allocates nothing.
// A timer fires at or after its time, late by at most one tick plus the turn in progress. Times
// beyond the last level (about 200 days) fire and are re-armed there, unseen by the owner.
#pragma once

#include <array>
#include <cstdint>

#include "ringmta/base/intrusive_list.h"
#include "ringmta/base/time.h"
#include "ringmta/ring/io.h"

namespace ringmta::ring {

struct Timer {
  ListLink link;
  Monotonic due{};
  Token token{};
  bool armed() const { return link.linked(); }
};

class TimerWheel final {
 public:
  static constexpr int64_t kTickNs = 4'000'000;

  explicit TimerWheel(Monotonic start);
  // (Re)arms: a timer already armed is moved.
  void arm(Timer& timer, Monotonic due);
  void cancel(Timer& timer) { timer.link.unlink(); }
  // When turn() should come back at the latest; never() when no timer is armed. May be early (a
  // cascade), never late.
  Monotonic next_due() const;
  // Takes one timer that is due at `now`, or null when there is none left. Timers armed meanwhile
  // with a time in the past come out too, in a later call of the same loop, so a caller bounds its
  // loop.
  Timer* pop_due(Monotonic now);

 private:
  static constexpr size_t kLevels = 4;
  static constexpr size_t kSlots = 256;
  using Slot = IntrusiveList<Timer, &Timer::link>;

  void place(Timer& timer);
  void place_at(size_t level, int64_t tick, Timer& timer);
  void cascade(size_t level, size_t slot);
  void process(int64_t tick);
  int64_t next_work_tick() const;

  int64_t tick_ = 0;  // every timer due before this tick is in due_ or gone
  Monotonic now_{};   // of the last pop_due(): what is armed for no later is due at once
  std::array<std::array<Slot, kSlots>, kLevels> levels_;
  // Which slots may hold timers: a hint, cleared when the slot is found empty, since cancel() and
  // moving a timer only unlink it.
  mutable std::array<std::array<uint64_t, kSlots / 64>, kLevels> occupied_{};
  Slot due_;
};

}  // namespace ringmta::ring
