// SPDX-License-Identifier: GPL-3.0-or-later
// Mapping and keeping of message memory. Running out of address space is not something the relay
// can go on from; the budget in SpoolOptions keeps far away from it.
#include "blocks.h"

#include <sys/mman.h>

#include <algorithm>

#include "format.h"
#include "ringmta/base/assert.h"

namespace ringmta::spool {

Blocks::~Blocks() {
  if (abandoned_) return;
  for (const MemoryBlock& block : table_) {
    if (block.memory != nullptr) munmap(block.memory, block.size);
  }
}

uint32_t Blocks::take(uint32_t size) {
  size = size <= kFirstChunk   ? kFirstChunk
         : size <= kBatchBlock ? kBatchBlock
                               : static_cast<uint32_t>(round_up(size, kBlock));
  auto* kept = size == kBatchBlock ? &kept_batch_ : size == kFirstChunk ? &kept_chunk_ : nullptr;
  uint32_t index = kNone;
  if (kept != nullptr && !kept->empty()) {
    index = kept->back();
    kept->pop_back();
  } else {
    if (unused_.empty()) {
      table_.emplace_back();
      index = static_cast<uint32_t>(table_.size() - 1);
    } else {
      index = unused_.back();
      unused_.pop_back();
    }
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    RINGMTA_ASSERT(memory != MAP_FAILED);
    table_[index].memory = static_cast<std::byte*>(memory);
    table_[index].size = size;
  }
  table_[index].used = 0;
  table_[index].references = 1;
  in_use_ += size;
  return index;
}

void Blocks::release(uint32_t index) {
  MemoryBlock& block = table_[index];
  RINGMTA_ASSERT(block.references > 0);
  if (--block.references > 0) return;
  in_use_ -= block.size;
  auto* kept = block.size == kBatchBlock   ? &kept_batch_
               : block.size == kFirstChunk ? &kept_chunk_
                                           : nullptr;
  if (kept != nullptr && kept->size() < kKeptMax) {
    kept->push_back(index);
    return;
  }
  munmap(block.memory, block.size);
  block = {};
  unused_.push_back(index);
}

}  // namespace ringmta::spool
