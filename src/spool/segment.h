// SPDX-License-Identifier: GPL-3.0-or-later
// A segment as its shard knows it, and the segments' ties to each other.
//
// The insight: a segment's life may end when nothing in it is needed any more: neither messages
// (`living`), nor notes. A note is needed as long as the copies of the message it is about may
// still be found, that is, until their segments' lives ended or a later checkpoint says what lives
// in them. So each segment keeps the list of segments its notes are about, and no note needs to be
// looked at again.
//
// A message that was moved leaves an older copy behind, and the notes about it are tied to the
// segment it lives in, not to the one it came from. So segments also know their `sources`: what is
// about a segment is needed until those are `covered`, which means that their lives ended, or that
// a checkpoint written after the move does not list the copy. All ties lead from newer segments to
// older ones; so the oldest dead one can always end.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "format.h"
#include "ringmta/ring/io.h"

namespace ringmta::spool {

inline constexpr uint16_t kNoSegment = UINT16_MAX;

// After a restart, segments that are tied to each other may have different shards. What the one
// must know of the other goes through here, a cell per recovered segment.
struct SharedLives {
  explicit SharedLives(size_t segments)
      : covered(std::make_unique<std::atomic<uint8_t>[]>(segments)),
        wanted(std::make_unique<std::atomic<uint8_t>[]>(segments)) {}
  // Its life ended, or a checkpoint of it was written: notes of earlier runs are not needed.
  std::unique_ptr<std::atomic<uint8_t>[]> covered;
  std::unique_ptr<std::atomic<uint8_t>[]> wanted;  // another shard waits for that
};

// A message record in a segment; whether it lives still is to be asked of its slot.
struct Entry {
  uint32_t slot = 0;
  uint32_t offset = 0;  // in kRecordAlign
};

struct Segment {
  enum class State : uint8_t {
    absent,   // a number without a file, or with a retired one
    making,   // being allocated and pre-written
    spare,    // ready to be opened
    opening,  // its header is being written
    opened,   // the next head
    head,     // batches go here
    sealed,   // full, or set aside after a failed write
    ending,   // nothing in it is needed; its header is being written
  };
  struct About {
    uint64_t epoch = 0;
    uint16_t segment = 0;
    friend bool operator==(const About&, const About&) = default;
  };

  uint32_t number = 0;
  uint16_t index = 0;  // in the shard's table
  State state = State::absent;
  bool set_aside = false;  // a write to it failed: nothing is written there any more
  bool ran_out = false;    // it failed for want of space: the file need not be kept
  bool wants_checkpoint = false;
  bool uncovered = false;    // older copies of messages that moved away lie here, see reclaim.cc
  bool listed_dead = false;  // in Impl::dead
  ring::FileId file{};
  uint64_t epoch = 0;
  uint64_t next_epoch = 0;  // of the header being written
  uint64_t size = 0;
  uint32_t header_block = UINT32_MAX;  // memory of that header
  Monotonic sealed_at{};
  Monotonic try_again_at{};   // something about it failed: it is left alone until then
  uint64_t write_at = 0;      // where the next batch goes
  uint64_t acknowledged = 0;  // where the last batch that was written well ended
  uint64_t prepared = 0;      // pre-written up to here
  uint64_t last_sequence = 0;
  uint64_t checkpoint_sequence = 0;
  uint64_t living_octets = 0;
  uint32_t living = 0;
  uint32_t reads = 0;                 // in flight
  uint32_t moves = 0;                 // copies of its messages in batches
  uint32_t shared_life = UINT32_MAX;  // cell in SharedLives
  std::vector<Entry> entries;         // by offset
  std::vector<About> about;
  std::vector<About> sources;  // whence messages moved here: older copies of them may lie there
  std::vector<uint32_t> about_others, sources_others;  // the same, cells of other shards' segments
  uint64_t noted_epoch = 0;  // the life of the head that last took a note about this one

  bool dead() const { return state == State::sealed && living == 0 && reads == 0 && moves == 0; }
};

// segment-SSS-NNNNNN: the shard that made it first, and its count.
std::string segment_name(uint32_t number);
// False when it is no segment's name.
bool parse_segment_name(const std::string& name, uint32_t& number);

}  // namespace ringmta::spool
