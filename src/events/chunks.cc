// SPDX-License-Identifier: GPL-3.0-or-later
// Chunks are of one size, except for a line that needs a bigger one: that gets a chunk of its own
// measure, which is not kept.
#include "chunks.h"

#include <algorithm>
#include <utility>

#include "ringmta/base/assert.h"

namespace ringmta::events {
namespace {

constexpr size_t kChunkMax = 256 * 1024;  // 20 ms of events at 15,000 messages/s and shard

}  // namespace

Chunks::Chunks(uint64_t memory_max)
    : memory_max_(memory_max), chunk_size_(std::min<uint64_t>(memory_max / 4, kChunkMax)) {}

char* Chunks::reserve(size_t octets) {
  if (open_) {
    const Chunk& last = chunks_.back();
    if (last.capacity - last.used >= octets) return last.memory.get() + last.used;
  }
  if (!add_chunk(octets)) return nullptr;
  return chunks_.back().memory.get();
}

bool Chunks::add_chunk(size_t octets) {
  Chunk chunk;
  if (octets <= spare_.capacity) {
    chunk = std::exchange(spare_, {});
  } else {
    const size_t capacity = std::max(chunk_size_, octets);
    if (memory_ + capacity > memory_max_) return false;
    chunk.memory = std::make_unique_for_overwrite<char[]>(capacity);
    chunk.capacity = capacity;
    memory_ += capacity;
  }
  chunks_.push_back(std::move(chunk));
  open_ = true;
  return true;
}

void Chunks::add_line(const char* end) {
  RINGMTA_ASSERT(open_);
  Chunk& last = chunks_.back();
  const auto used = static_cast<size_t>(end - last.memory.get());
  RINGMTA_ASSERT(used > last.used && used <= last.capacity);
  last.used = used;
  ++last.lines;
  ++lines_;
}

void Chunks::seal_first() {
  if (chunks_.size() == 1) open_ = false;
}

void Chunks::drop_first() {
  Chunk& first = chunks_.front();
  lines_ -= first.lines;
  if (first.capacity == chunk_size_ && spare_.capacity == 0) {
    spare_ = {std::move(first.memory), first.capacity, 0, 0};
  } else {
    memory_ -= first.capacity;
  }
  chunks_.pop_front();
}

std::unique_ptr<char[]> Chunks::take_first_memory() { return std::move(chunks_.front().memory); }

}  // namespace ringmta::events
