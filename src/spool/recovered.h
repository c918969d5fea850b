// SPDX-License-Identifier: GPL-3.0-or-later
// What recovery hands to the shards: places, not contents.
//
// The insight: after a scan, a living message is 24 octets saying where it lies. Heads are read
// again, segment by segment, when a shard takes its messages over; so ten million of them are never
// in memory at once, and the segments are read in order, mostly out of the page cache.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "ringmta/spool/spool.h"
#include "segment.h"

namespace ringmta::spool {

struct RecoveredMessage {
  uint64_t id = 0;
  uint32_t offset = 0;  // of the record in its segment, in kRecordAlign
  uint32_t length = 0;  // of its payload
  uint32_t wire = 0;    // octets of trace lines and content
  uint32_t recipients = 0;
};
static_assert(sizeof(RecoveredMessage) == 24);

struct RecoveredState {
  uint32_t message = 0;  // index in RecoveredSegment::messages
  RecipientState state;
};

struct RecoveredSegment {
  uint32_t number = 0;
  uint16_t shard = 0;  // whose it is now
  SegmentUse use = SegmentUse::spare;
  bool whole = false;      // it ends cleanly: writing may go on behind its end
  bool uncovered = false;  // older copies of messages lie in it that live elsewhere
  uint64_t epoch = 0;
  uint64_t size = 0;  // of the file
  uint64_t end = 0;   // of what was written
  uint64_t last_sequence = 0;
  uint64_t checkpoint_sequence = 0;
  std::vector<RecoveredMessage> messages;  // living, by offset
  std::vector<RecoveredState> states;      // by message
  std::vector<uint32_t> about;             // the segments its notes are about, by index
  std::vector<uint32_t> sources;           // those with older copies of its messages
};

class RecoveryResult final : public Recovery {
 public:
  const Report& report() const override { return result; }

  Report result;
  std::vector<RecoveredSegment> segments;
  std::shared_ptr<SharedLives> shared;
  uint64_t sequence = 0;  // the highest found
  uint64_t id = 0;        // likewise
  uint32_t shards = 1;
  std::array<uint32_t, kShardsMax> numbers{};  // made by each shard so far
};

}  // namespace ringmta::spool
