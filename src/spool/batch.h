// SPDX-License-Identifier: GPL-3.0-or-later
// One write in the making: records side by side in block memory, and who waits for them.
//
// The insight: memory parts are closed only at multiples of 4096, so the array of parts can be
// written past the page cache as it is, and the offset a record has in memory is the offset it will
// have on disk. The segment is chosen when the batch is full; only then are the headers sealed.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <vector>

#include "blocks.h"
#include "format.h"
#include "message_table.h"
#include "ringmta/ring/io.h"

namespace ringmta::spool {

// Where the next record goes; handed from each batch to the next, which goes on in the same block.
struct Cursor {
  uint32_t block = kNone;
  uint32_t at = 0;
};

class Batch final {
 public:
  struct Stored {  // a new message
    StoredHandle message;
    uint32_t offset = 0;
    uint64_t tag = 0;
  };
  struct Moved {  // a copy of a message that lies in another segment
    StoredHandle message;
    uint32_t offset = 0;
    uint16_t from = 0;
    bool evict = false;  // it was read only to be moved
  };
  struct Tombstone {
    uint64_t id = 0;
    uint64_t epoch = 0;  // of the life of the segment it concerns
    uint16_t segment = 0;
  };
  struct Never {
    uint64_t epoch = 0;
    uint64_t offset = 0;  // in the segment
    uint16_t segment = 0;
  };
  struct Checkpoint {
    uint64_t epoch = 0;
    uint16_t segment = 0;
  };

  explicit Batch(Blocks& blocks) : blocks_(blocks) {}

  void begin(Cursor& cursor);
  // Room for `octets` on end at a multiple of 8.
  std::byte* reserve(size_t octets);
  uint32_t offset_of_last() const { return last_offset_; }
  void add_record(RecordHeader header, std::byte* at);  // its header is sealed at the end
  // What follows begins at a multiple of 4096.
  void fill_up();
  // Content in memory of its own, `octets` of it; its last block is padded with zeroes.
  void append_chunk(std::byte* memory, uint32_t octets);
  // No more records from here on.
  void close();
  bool closed() const { return closed_; }
  // Headers get their last fields, for a place that is now known.
  void seal(Place place, uint64_t offset, BatchHeader header);
  void release_blocks();
  void clear();

  // Octets it takes on disk when `more` are added, at most.
  uint64_t length_with(uint64_t more) const { return length() + more + 2 * kBlock; }
  uint64_t length() const { return file_offset_ + (cursor_ ? cursor_->at - part_begin_ : 0); }
  uint64_t chunk_octets() const { return chunk_octets_; }
  size_t parts_used() const { return parts_.size(); }
  std::span<const iovec> parts() const { return parts_; }
  bool has_messages() const { return !stored.empty() || !moved.empty(); }
  bool empty() const { return records_.empty(); }

  std::vector<Stored> stored;
  std::vector<Moved> moved;
  std::vector<Tombstone> tombstones;
  std::vector<Never> nevers;
  std::vector<StoredHandle> stated;
  std::vector<Checkpoint> checkpoints;
  uint64_t sequence = 0;
  uint64_t offset = 0;   // in the segment, once it is being written
  uint16_t segment = 0;  // likewise

 private:
  struct Record {
    std::byte* header;
    uint32_t offset;
  };

  void close_part();
  void use(uint32_t block);

  Blocks& blocks_;
  Cursor* cursor_ = nullptr;
  std::vector<iovec> parts_;
  std::vector<uint32_t> used_;  // blocks, a reference each
  std::vector<Record> records_;
  std::byte* header_ = nullptr;
  uint64_t file_offset_ = 0;  // where the part being filled begins
  uint64_t chunk_octets_ = 0;
  uint32_t part_begin_ = 0;
  uint32_t last_offset_ = 0;
  bool closed_ = false;
};

}  // namespace ringmta::spool
