// SPDX-License-Identifier: GPL-3.0-or-later
// Memory for lines that wait to be written: a first-in first-out list of chunks, each holding whole
// lines. The last one is being filled, the first one is being written.
//
// The insight: chunks are never moved or grown, so a backlog costs no copying, a chunk can be in
// the kernel's hands while the next is filled, and memory shrinks again when the backlog is gone.
// One empty chunk is kept, so that in steady state two of them alternate and nothing is allocated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string_view>

namespace ringmta::events {

struct Chunk {
  std::unique_ptr<char[]> memory;
  size_t capacity = 0;
  size_t used = 0;
  size_t lines = 0;
};

class Chunks final {
 public:
  // `memory_max` octets at most in all chunks together.
  explicit Chunks(uint64_t memory_max);

  // Room for `octets` at the end of the last chunk, or of a new one; null: no memory is left.
  char* reserve(size_t octets);
  // One line, up to `end`, was written where reserve() said.
  void add_line(const char* end);

  bool empty() const { return chunks_.empty(); }
  bool more_than_one() const { return chunks_.size() > 1; }
  bool filling() const { return open_; }  // the last chunk takes lines
  const Chunk& first() const { return chunks_.front(); }
  const Chunk& last() const { return chunks_.back(); }
  // The first chunk goes to the kernel: no line is added to it any more.
  void seal_first();
  void drop_first();  // after seal_first()
  std::unique_ptr<char[]> take_first_memory();

  uint64_t memory() const { return memory_; }
  uint64_t lines() const { return lines_; }

 private:
  bool add_chunk(size_t octets);

  const uint64_t memory_max_;
  const size_t chunk_size_;
  uint64_t memory_ = 0;
  uint64_t lines_ = 0;
  bool open_ = false;  // the last chunk takes lines
  std::deque<Chunk> chunks_;
  Chunk spare_;
};

}  // namespace ringmta::events
