// SPDX-License-Identifier: GPL-3.0-or-later
// The memory of messages: page-aligned blocks with reference counts.
//
// The insight: a batch is gathered in the memory that is written and later sent, so memory is
// shared by neighbours of one batch and goes back when the last of them needs it no more. Blocks
// have sizes of powers of two and are kept for reuse, the warmest first, so that in steady state
// nothing is mapped or faulted in. Which messages lie in a block is kept with the block, not with
// the messages: only what is in memory pays for being found by eviction.
//
// Blocks are mapped, not allocated: what the kernel may still use when a spool ends is simply left
// to it.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "ringmta/base/bytes.h"
#include "ringmta/spool/record.h"

namespace ringmta::spool {

inline constexpr uint32_t kNone = UINT32_MAX;
inline constexpr uint32_t kBatchBlock = 262'144;
inline constexpr uint32_t kFirstChunk = 65'536;
inline constexpr uint32_t kChunkMax = 4'194'304;

struct MemoryBlock {
  std::byte* memory = nullptr;
  uint32_t size = 0;
  uint32_t used = 0;  // octets of content in a chunk
  uint32_t references = 0;
  uint32_t next_chunk = kNone;  // of the same message
  // The order in which blocks came to hold committed messages.
  uint32_t older = kNone, younger = kNone;
  bool in_order = false;
  std::vector<uint32_t> messages;  // slots, some of which may have left
};

class Blocks final {
 public:
  Blocks() = default;
  Blocks(const Blocks&) = delete;
  Blocks& operator=(const Blocks&) = delete;
  ~Blocks();

  // A block of at least `size` octets, with one reference.
  uint32_t take(uint32_t size);
  void add_reference(uint32_t index) { ++table_[index].references; }
  void release(uint32_t index);
  void release_chain(uint32_t first);
  MemoryBlock& operator[](uint32_t index) { return table_[index]; }
  const MemoryBlock& operator[](uint32_t index) const { return table_[index]; }

  // A committed message lies in it from now on.
  void holds(uint32_t index, uint32_t slot);
  uint32_t oldest() const { return oldest_; }
  void make_youngest(uint32_t index);

  uint64_t octets_in_use() const { return in_use_; }
  // The block that holds `memory` stays mapped for ever: the kernel may still use it. Nothing but
  // the end of this may come after that.
  void abandon(const void* memory);

 private:
  static constexpr uint32_t kSmallestLog = 12, kLargestLog = 22;  // 4 KiB to 4 MiB are kept
  static constexpr uint64_t kKeptOctetsMax = 33'554'432;

  void unlink(uint32_t index);
  void append(uint32_t index);

  std::vector<MemoryBlock> table_;
  std::vector<uint32_t> unused_;  // entries without memory
  std::array<std::vector<uint32_t>, kLargestLog + 1> kept_;
  uint64_t kept_octets_ = 0;
  uint64_t in_use_ = 0;
  uint32_t oldest_ = kNone, youngest_ = kNone;
};

}  // namespace ringmta::spool
