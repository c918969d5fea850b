// SPDX-License-Identifier: GPL-3.0-or-later
// How shards speak: a bounded single-producer single-consumer ring per ordered pair of shards
// (Lamport 1983, with the cached indices of Rigtorp 2021: each side reads the other's cache line
// only when its own copy says full or empty). No mutex, no allocation. push() answers false when
// the ring is full: the producer keeps the letter in its own overflow queue and tries again next
// turn, so nothing is ever dropped and nobody spins.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "ringmta/base/assert.h"

namespace ringmta::shard {

inline constexpr size_t kCacheLine = 64;

template <typename T>
  requires std::is_trivially_copyable_v<T>
class Mailbox final {
 public:
  explicit Mailbox(size_t capacity)
      : mask_(std::bit_ceil(capacity) - 1), slots_(std::make_unique<T[]>(mask_ + 1)) {}
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  // Producer's thread only.
  bool push(const T& letter) {
    const size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head_seen_ > mask_) {
      head_seen_ = head_.load(std::memory_order_acquire);
      if (tail - head_seen_ > mask_) return false;
    }
    slots_[tail & mask_] = letter;
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }
  // Consumer's thread only.
  bool pop(T& letter) {
    const size_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_seen_) {
      tail_seen_ = tail_.load(std::memory_order_acquire);
      if (head == tail_seen_) return false;
    }
    letter = slots_[head & mask_];
    head_.store(head + 1, std::memory_order_release);
    return true;
  }
  size_t capacity() const { return mask_ + 1; }

 private:
  const size_t mask_;
  const std::unique_ptr<T[]> slots_;
  alignas(kCacheLine) std::atomic<size_t> tail_{0};
  size_t head_seen_ = 0;  // producer's copy
  alignas(kCacheLine) std::atomic<size_t> head_{0};
  size_t tail_seen_ = 0;  // consumer's copy
};

// Rings a sleeping shard, and only a sleeping one: the sleeper announces itself before its last
// look at the mailboxes, the producer looks after its push; the two full fences make it impossible
// that both miss the other (Dekker's pattern).
class Doorbell final {
 public:
  // Consumer: call before looking a last time; sleep only when that look found nothing, wake() in
  // any case.
  void about_to_sleep() {
    asleep_.store(true, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  void awake() { asleep_.store(false, std::memory_order_relaxed); }
  // Producer, after pushing: true when the consumer must be woken (by Io::ring_doorbell()); true
  // for one caller only.
  bool must_ring() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return asleep_.load(std::memory_order_relaxed) &&
           asleep_.exchange(false, std::memory_order_acq_rel);
  }

 private:
  alignas(kCacheLine) std::atomic<bool> asleep_{false};
};

}  // namespace ringmta::shard
