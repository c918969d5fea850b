// SPDX-License-Identifier: GPL-3.0-or-later
// Mapping and keeping of message memory. Running out of address space is not something the relay
// can go on from; the budget in SpoolOptions keeps far away from it.
#include "blocks.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>

#include "ringmta/base/assert.h"

namespace ringmta::spool {

Blocks::~Blocks() {
  for (const MemoryBlock& block : table_) {
    if (block.memory != nullptr) munmap(block.memory, block.size);
  }
}

void Blocks::abandon(const void* memory) {
  const auto* at = static_cast<const std::byte*>(memory);
  for (MemoryBlock& block : table_) {
    if (block.memory != nullptr && at >= block.memory && at < block.memory + block.size) {
      block.memory = nullptr;
    }
  }
}

uint32_t Blocks::take(uint32_t size) {
  const auto log = std::max(kSmallestLog, static_cast<uint32_t>(std::bit_width(size - 1)));
  const uint32_t octets = log <= kLargestLog ? 1U << log : (size + 4095) / 4096 * 4096;
  uint32_t index = kNone;
  if (log <= kLargestLog && !kept_[log].empty()) {
    index = kept_[log].back();
    kept_[log].pop_back();
    kept_octets_ -= octets;
  } else {
    if (unused_.empty()) {
      table_.emplace_back();
      index = static_cast<uint32_t>(table_.size() - 1);
    } else {
      index = unused_.back();
      unused_.pop_back();
    }
    void* memory =
        mmap(nullptr, octets, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    RINGMTA_ASSERT(memory != MAP_FAILED);
    table_[index].memory = static_cast<std::byte*>(memory);
    table_[index].size = octets;
  }
  MemoryBlock& block = table_[index];
  block.used = 0;
  block.references = 1;
  block.next_chunk = kNone;
  in_use_ += octets;
  return index;
}

void Blocks::release(uint32_t index) {
  MemoryBlock& block = table_[index];
  RINGMTA_ASSERT(block.references > 0);
  if (--block.references > 0) return;
  in_use_ -= block.size;
  block.messages.clear();
  if (block.in_order) unlink(index);
  const auto log = static_cast<uint32_t>(std::bit_width(block.size - 1));
  if (log <= kLargestLog && kept_octets_ + block.size <= kKeptOctetsMax) {
    kept_[log].push_back(index);
    kept_octets_ += block.size;
    return;
  }
  munmap(block.memory, block.size);
  block.memory = nullptr;
  block.size = 0;
  unused_.push_back(index);
}

void Blocks::release_chain(uint32_t first) {
  while (first != kNone) {
    const uint32_t next = table_[first].next_chunk;
    release(first);
    first = next;
  }
}

void Blocks::holds(uint32_t index, uint32_t slot) {
  table_[index].messages.push_back(slot);
  if (!table_[index].in_order) append(index);
}

void Blocks::make_youngest(uint32_t index) {
  unlink(index);
  append(index);
}

void Blocks::append(uint32_t index) {
  MemoryBlock& block = table_[index];
  block.in_order = true;
  block.older = youngest_;
  block.younger = kNone;
  (youngest_ == kNone ? oldest_ : table_[youngest_].younger) = index;
  youngest_ = index;
}

void Blocks::unlink(uint32_t index) {
  MemoryBlock& block = table_[index];
  (block.older == kNone ? oldest_ : table_[block.older].younger) = block.younger;
  (block.younger == kNone ? youngest_ : table_[block.younger].older) = block.older;
  block.in_order = false;
}

}  // namespace ringmta::spool
