// SPDX-License-Identifier: GPL-3.0-or-later
// Laying out of a batch.
#include "batch.h"

#include <algorithm>
#include <cstring>

#include "ringmta/base/assert.h"

namespace ringmta::spool {
namespace {

constexpr uint32_t kRoomMin = 16'384;      // less is not worth going on in a block
constexpr uint32_t kReach = 65'535U * 8U;  // how far into a block a record may begin

}  // namespace

void Batch::begin(Cursor& cursor) {
  RINGMTA_ASSERT(cursor_ == nullptr && parts_.empty() && !closed_);
  cursor_ = &cursor;
  if (cursor.block != kNone) {
    cursor.at = static_cast<uint32_t>(round_up(cursor.at, kBlock));
    part_begin_ = cursor.at;
    if (uint64_t{cursor.at} + kRoomMin <= blocks_[cursor.block].size && cursor.at < kReach) {
      use(cursor.block);
    } else {
      blocks_.release(cursor.block);
      cursor.block = kNone;
    }
  }
  header_ = reserve(sizeof(BatchHeader));
}

void Batch::use(uint32_t block) {
  blocks_.add_reference(block);
  used_.push_back(block);
}

std::byte* Batch::reserve(size_t octets) {
  Cursor& cursor = *cursor_;
  uint64_t start = round_up(cursor.at, kRecordAlign);
  if (cursor.block == kNone || start > kReach || start + octets > blocks_[cursor.block].size) {
    if (cursor.block != kNone) {
      close_part();
      blocks_.release(cursor.block);
    }
    cursor.block = blocks_.take(std::max(kBatchBlock, static_cast<uint32_t>(octets)));
    cursor.at = 0;
    part_begin_ = 0;
    start = 0;
    use(cursor.block);
  }
  std::byte* memory = blocks_[cursor.block].memory;
  std::memset(memory + cursor.at, 0, start - cursor.at);
  last_offset_ = static_cast<uint32_t>(file_offset_ + (start - part_begin_));
  cursor.at = static_cast<uint32_t>(start + octets);
  return memory + start;
}

void Batch::add_record(RecordHeader header, std::byte* at) {
  store(at, header);
  records_.push_back({at, last_offset_});
}

void Batch::close_part() {
  Cursor& cursor = *cursor_;
  if (cursor.block == kNone) return;
  const auto end = static_cast<uint32_t>(round_up(cursor.at, kBlock));
  std::byte* memory = blocks_[cursor.block].memory;
  std::memset(memory + cursor.at, 0, end - cursor.at);
  if (end > part_begin_) {
    parts_.push_back({memory + part_begin_, end - part_begin_});
    file_offset_ += end - part_begin_;
  }
  part_begin_ = cursor.at = end;
}

void Batch::fill_up() { close_part(); }

void Batch::append_chunk(std::byte* memory, uint32_t octets) {
  const auto whole = static_cast<uint32_t>(round_up(octets, kBlock));
  std::memset(memory + octets, 0, whole - octets);
  parts_.push_back({memory, whole});
  file_offset_ += whole;
  chunk_octets_ += whole;
}

void Batch::close() {
  RINGMTA_ASSERT(!closed_);
  close_part();
  cursor_ = nullptr;
  closed_ = true;
}

void Batch::seal(Place place, uint64_t where, BatchHeader header) {
  RINGMTA_ASSERT(closed_);
  for (const Record& record : records_) {
    auto sealed = load<RecordHeader>(record.header);
    sealed.header_crc = header_check(sealed, place, where + record.offset);
    store(record.header, sealed);
  }
  header.epoch = place.epoch;
  header.number = place.number;
  header.length = static_cast<uint32_t>(file_offset_);
  header.records = static_cast<uint32_t>(records_.size());
  header.sequence = sequence;
  spool::seal(header);
  store(header_, header);
}

void Batch::release_blocks() {
  for (const uint32_t block : used_) blocks_.release(block);
  used_.clear();
}

void Batch::clear() {
  RINGMTA_ASSERT(used_.empty());
  parts_.clear();
  records_.clear();
  stored.clear();
  moved.clear();
  tombstones.clear();
  nevers.clear();
  stated.clear();
  checkpoints.clear();
  cursor_ = nullptr;
  header_ = nullptr;
  file_offset_ = chunk_octets_ = 0;
  part_begin_ = last_offset_ = 0;
  closed_ = false;
}

}  // namespace ringmta::spool
