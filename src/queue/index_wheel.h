// SPDX-License-Identifier: GPL-3.0-or-later
// Coarse timers by the ten million: a hierarchical wheel (Varghese and Lauck, 1987) of 4 levels of
// 256 slots whose timers are pool entries linked by slot number. A timer costs the 12 octets of its
// entry's `previous`, `next` and `due`; ring/timer_wheel.h, for the few that must be exact, needs
// 40.
//
// The insight: after a restart a million retries may lie in one slot of an upper level. So moving a
// slot down is done entry by entry, against the caller's budget of work; time inside the wheel
// stands still meanwhile.
//
// Times are ticks (32 bits). An entry comes out at or after its tick, never before.
#pragma once

#include <array>
#include <bit>
#include <cstddef>

#include "index_list.h"

namespace ringmta::queue {

template <typename Pool>
class IndexWheel final {
 public:
  explicit IndexWheel(Pool& pool) : pool_(pool) { heads_.fill(kNone); }

  uint32_t size() const { return size_; }

  void arm(uint32_t index, uint32_t due) {
    pool_.at_index(index)->due = due;
    place(index);
    ++size_;
  }

  void cancel(uint32_t index) {
    unlink(index);
    --size_;
  }

  // Takes one entry due at `now` off; kNone: there is none, or `work` is used up (then 0).
  uint32_t pop_due(uint32_t now, uint32_t& work) {
    while (work > 0) {
      if (const uint32_t moving = heads_[kMoving]; moving != kNone) {
        unlink(moving);
        place(moving);
        --work;
      } else if (level_ > 0) {
        begin_move();
      } else if (const uint32_t due = heads_[tick_ % kSlots]; due != kNone) {
        cancel(due);
        --work;
        return due;
      } else if (tick_ >= now) {
        return kNone;
      } else if (size_ == 0) {
        tick_ = now;
      } else {
        ++tick_;
        level_ = wraps(tick_);
      }
    }
    return kNone;
  }

  // When pop_due() should be called next; may be early, never late. Only with size() > 0.
  uint32_t next_due() const {
    if (level_ > 0 || heads_[kMoving] != kNone) return tick_;
    const uint32_t end = tick_ | (kSlots - 1);
    const uint32_t slot = first_occupied(tick_ % kSlots);
    if (slot < kSlots) return end - (kSlots - 1) + slot;
    return end == UINT32_MAX ? end : end + 1;
  }

 private:
  static constexpr uint32_t kSlots = 256;
  static constexpr uint32_t kLevels = 4;
  static constexpr uint32_t kMoving = kSlots * kLevels;  // the list being moved down
  static constexpr uint32_t kHead = 0x80000000;  // in `previous`: the first of slot number ...

  // How many levels begin a new slot at `tick`.
  static uint32_t wraps(uint32_t tick) {
    const auto zeros = static_cast<uint32_t>(std::countr_zero(tick));
    return zeros / 8 < kLevels ? zeros / 8 : kLevels - 1;
  }

  // Of the lowest level's slots from `slot` on; kSlots: none.
  uint32_t first_occupied(uint32_t slot) const {
    for (uint64_t bits = occupied_[slot / 64] & ~uint64_t{0} << slot % 64; slot < kSlots;) {
      if (bits != 0) return slot / 64 * 64 + static_cast<uint32_t>(std::countr_zero(bits));
      slot = (slot / 64 + 1) * 64;
      if (slot < kSlots) bits = occupied_[slot / 64];
    }
    return kSlots;
  }

  void begin_move() {
    const uint32_t slot = level_ * kSlots + (tick_ >> (8 * level_)) % kSlots;
    --level_;
    if (heads_[slot] == kNone) return;
    heads_[kMoving] = heads_[slot];
    heads_[slot] = kNone;
    pool_.at_index(heads_[kMoving])->previous = kHead | kMoving;
  }

  void place(uint32_t index) {
    const uint32_t due = pool_.at_index(index)->due;
    const uint32_t distance = due > tick_ ? due - tick_ : 0;
    uint32_t level = 0;
    while (level + 1 < kLevels && distance >> (8 * (level + 1)) != 0) ++level;
    const uint32_t slot = level * kSlots + ((distance == 0 ? tick_ : due) >> (8 * level)) % kSlots;
    auto& entry = *pool_.at_index(index);
    entry.previous = kHead | slot;
    entry.next = heads_[slot];
    if (entry.next != kNone) pool_.at_index(entry.next)->previous = index;
    heads_[slot] = index;
    if (slot < kSlots) occupied_[slot / 64] |= uint64_t{1} << slot % 64;
  }

  void unlink(uint32_t index) {
    auto& entry = *pool_.at_index(index);
    if ((entry.previous & kHead) != 0) {
      const uint32_t slot = entry.previous & ~kHead;
      heads_[slot] = entry.next;
      if (slot < kSlots && entry.next == kNone) {
        occupied_[slot / 64] &= ~(uint64_t{1} << slot % 64);
      }
    } else {
      pool_.at_index(entry.previous)->next = entry.next;
    }
    if (entry.next != kNone) pool_.at_index(entry.next)->previous = entry.previous;
    entry.previous = entry.next = kNone;
  }

  Pool& pool_;
  std::array<uint32_t, kMoving + 1> heads_;
  std::array<uint64_t, kSlots / 64> occupied_{};  // slots of the lowest level that have entries
  uint32_t tick_ = 0;                             // all that is due before is out
  uint32_t level_ = 0;  // level whose slot is to be moved down before this tick goes on
  uint32_t size_ = 0;
};

}  // namespace ringmta::queue
