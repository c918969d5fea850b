// SPDX-License-Identifier: GPL-3.0-or-later
// The memory of messages: page-aligned blocks with reference counts.
//
// The insight: a batch is gathered in the memory that is written and later sent, so memory is
// shared by neighbours of one batch and goes back when the last of them needs it no more. Blocks of
// the two usual sizes are kept for reuse, so that in steady state nothing is mapped or faulted in.
// Blocks are mapped, not allocated: what the kernel may still write to when the process ends is
// simply left to it.
#pragma once

#include <cstdint>
#include <vector>

#include "ringmta/base/bytes.h"
#include "ringmta/spool/record.h"

namespace ringmta::spool {

inline constexpr uint32_t kNone = UINT32_MAX;
inline constexpr uint32_t kBatchBlock = 262'144;
inline constexpr uint32_t kFirstChunk = 65'536;

struct MemoryBlock {
  std::byte* memory = nullptr;
  uint32_t size = 0;
  uint32_t used = 0;
  uint32_t references = 0;
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
  MemoryBlock& operator[](uint32_t index) { return table_[index]; }
  const MemoryBlock& operator[](uint32_t index) const { return table_[index]; }
  uint64_t octets_in_use() const { return in_use_; }
  void abandon() { abandoned_ = true; }  // leave everything mapped: the kernel may still use it

 private:
  static constexpr size_t kKeptMax = 64;

  std::vector<MemoryBlock> table_;
  std::vector<uint32_t> unused_;  // entries without memory
  std::vector<uint32_t> kept_batch_, kept_chunk_;
  uint64_t in_use_ = 0;
  bool abandoned_ = false;
};

}  // namespace ringmta::spool
