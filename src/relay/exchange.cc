// SPDX-License-Identifier: GPL-3.0-or-later
// Posting and taking letters. The only mutex is between the supervisor's own threads; a shard takes
// it only when a flag says that something lies there, so never on a message's path.

#include "exchange.h"

namespace ringmta::relay {

Exchange::Exchange(uint32_t shards)
    : shards_(shards), overflow_(shards), loops_(shards, nullptr), next_sender_(shards, 0) {
  for (uint32_t i = 0; i < shards * shards; ++i) boxes_.push_back(std::make_unique<Box>(kCapacity));
  for (uint32_t i = 0; i < shards; ++i) outside_.push_back(std::make_unique<Outside>());
}

void Exchange::attach(ShardId id, shard::Loop& loop) { loops_[id.value] = &loop; }

void Exchange::wake(ShardId to) {
  shard::Loop* loop = loops_[to.value];
  if (loop != nullptr && loop->doorbell().must_ring()) loop->io().ring_doorbell();
}

void Exchange::post(ShardId from, ShardId to, Letter letter) {
  auto& waiting = overflow_[from.value];
  if (!waiting.empty() || !box(from, to).push(letter)) {
    waiting.push_back({to, letter});
    return;
  }
  wake(to);
}

bool Exchange::retry(ShardId from) {
  auto& waiting = overflow_[from.value];
  while (!waiting.empty()) {
    if (!box(from, waiting.front().to).push(waiting.front().letter)) return true;
    wake(waiting.front().to);
    waiting.pop_front();
  }
  return false;
}

void Exchange::post_from_outside(ShardId to, Letter letter) {
  Outside& outside = *outside_[to.value];
  {
    const std::lock_guard guard(outside.lock);
    outside.letters.push_back(letter);
    outside.waiting.store(true, std::memory_order_release);
  }
  wake(to);
}

bool Exchange::take(ShardId to, Letter& letter) {
  uint32_t& from = next_sender_[to.value];
  for (uint32_t looked = 0; looked < shards_; ++looked) {
    if (box(ShardId{static_cast<uint16_t>(from)}, to).pop(letter)) return true;
    from = from + 1 == shards_ ? 0 : from + 1;
  }
  Outside& outside = *outside_[to.value];
  if (!outside.waiting.load(std::memory_order_acquire)) return false;
  const std::lock_guard guard(outside.lock);
  if (outside.letters.empty()) {
    outside.waiting.store(false, std::memory_order_relaxed);
    return false;
  }
  letter = outside.letters.front();
  outside.letters.pop_front();
  return true;
}

}  // namespace ringmta::relay
