// SPDX-License-Identifier: GPL-3.0-or-later
// What one segment file says, read from its beginning to its end.
//
// The insight: every record proves its place by its checksum, so the scan needs no help from the
// batches around it. The usual way goes from header to header; only where a batch is not whole is
// it searched octet group by octet group for records that are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "format.h"
#include "recovered.h"

namespace ringmta::spool {

// Where a batch is not whole.
struct DamagedBatch {
  uint64_t begin = 0, end = 0;
  uint32_t whole = 0;  // records found in it
  uint32_t lost = 0;   // records known to be missing
  bool has_header = false;
  bool followed = false;  // a later batch proves that it was acknowledged
  uint64_t sequence = 0;  // for a new header
};

struct ScannedState {
  uint64_t id = 0;
  uint64_t sequence = 0;
  RecipientState state;
};

struct ScannedCheckpoint {
  uint32_t number = 0;
  uint64_t epoch = 0;
  uint64_t sequence = 0;
  std::vector<uint32_t> offsets;       // of the living, in kRecordAlign
  std::vector<RecoveredState> states;  // by index in `offsets`
};

// A write to that segment failed: what it left from the offset on never was.
struct ScannedNever {
  uint32_t number = 0;
  uint64_t epoch = 0;
  uint64_t offset = 0;
};

struct Scan {
  enum class Kind : uint8_t {
    log,         // holds, or may hold, records
    spare,       // ready to be written
    retired,     // only its name and header are kept
    unfinished,  // was being made
    foreign      // no segment of ours, or nothing of it can be understood
  };
  std::string path;
  uint32_t number = 0;
  Kind kind = Kind::foreign;
  bool header_damaged = false;
  uint16_t shard = 0;  // that wrote it
  uint64_t size = 0;   // of the file
  uint64_t size_made = 0;
  uint64_t epoch = 0;
  uint64_t end = kBlock;
  uint64_t last_begin = kBlock;     // of the last batch
  uint64_t void_from = UINT64_MAX;  // as a note in another segment says
  uint64_t void_end = 0;            // what was found from there on, without the note
  uint64_t last_sequence = 0;
  uint64_t highest_id = 0;
  uint64_t unreadable_octets = 0;
  uint32_t previous_number = 0;
  uint64_t previous_epoch = 0;
  uint64_t previous_end = 0;
  std::vector<RecoveredMessage> messages;
  std::vector<uint64_t> gone;  // ids of finished messages
  std::vector<ScannedNever> nevers;
  std::vector<ScannedState> states;
  std::vector<ScannedCheckpoint> checkpoints;
  std::vector<DamagedBatch> damaged;
};

// Looks no further than `limit`: what lies behind it counts for nothing.
Result<Scan> scan_segment(const std::string& path, uint32_t number, uint64_t limit = UINT64_MAX);

}  // namespace ringmta::spool
