// SPDX-License-Identifier: GPL-3.0-or-later
// The living messages of a shard: 48 octets each, whether their content is in memory or not.
//
// The insight: of a message that only waits, the spool needs to know where it lies and what became
// of its recipients. Most have one recipient, whose state fits in eight octets of the slot; only
// messages with several recipients of different fates have a list of their own on the heap.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "blocks.h"
#include "format.h"
#include "ringmta/base/assert.h"
#include "ringmta/base/types.h"
#include "ringmta/spool/spool.h"

namespace ringmta::spool {

struct Message {
  enum : uint16_t {
    kUsed = 1,
    kCommitted = 2,
    kMoving = 4,    // a copy of it is on its way into another segment
    kEnded = 8,     // finished, but still moving or being read
    kLoading = 16,  // being read
    kNoted = 32,    // its states wait to be written
    kStateInline = 64,
    kStateList = 128,
    kDelayReported = 256,  // of the inline state
    kFateShift = 9,        // three bits: of the inline state
    kUnreadable = 4096     // it was said that it cannot be read
  };

  uint64_t id = 0;
  uint64_t state = 0;   // inline: attempts << 48 | next attempt in ms; or the list's address
  uint32_t offset = 0;  // of the record in its segment, in kRecordAlign; in a free slot: the next
  uint32_t length = 0;  // of the record's payload
  uint32_t wire = 0;    // octets of trace lines and content
  uint32_t block = kNone;    // memory of the record
  uint32_t content = kNone;  // chunks that hold the content, where it was gathered
  uint32_t generation = 0;
  uint16_t segment = 0;
  uint16_t memory_at = 0;  // of the record in its block, in kRecordAlign
  uint16_t pins = 0;
  uint16_t flags = 0;

  bool is(uint16_t flag) const { return (flags & flag) != 0; }
  void set(uint16_t flag) { flags = static_cast<uint16_t>(flags | flag); }
  void clear(uint16_t flag) { flags = static_cast<uint16_t>(flags & ~flag); }
  bool has_states() const { return is(kStateInline) || is(kStateList); }
  uint64_t record_offset() const { return uint64_t{offset} * kRecordAlign; }
};
static_assert(sizeof(Message) == 48);

// What is known of the recipients of `message`; merge replaces what was known of the same ones.
void merge_states(Message& message, std::span<const RecipientState> states);
void append_states(const Message& message, std::vector<RecipientState>& into);
void drop_states(Message& message);

class MessageTable final {
 public:
  MessageTable() = default;
  MessageTable(const MessageTable&) = delete;
  MessageTable& operator=(const MessageTable&) = delete;
  ~MessageTable();

  uint32_t take();
  void release(uint32_t index);
  Message& operator[](uint32_t index) { return chunks_[index / kChunk][index % kChunk]; }
  const Message& operator[](uint32_t index) const {
    return chunks_[index / kChunk][index % kChunk];
  }
  StoredHandle handle(uint32_t index) const { return {index, (*this)[index].generation}; }
  // Null when the handle is stale.
  Message* find(StoredHandle handle);
  // What the owner refers to must be there: a bug otherwise.
  Message& get(StoredHandle handle) {
    Message* message = find(handle);
    RINGMTA_ASSERT(message != nullptr && !message->is(Message::kEnded));
    return *message;
  }
  uint64_t octets() const { return chunks_.size() * kChunk * sizeof(Message); }

 private:
  static constexpr uint32_t kChunk = 1024;
  void grow();

  std::vector<std::unique_ptr<Message[]>> chunks_;
  uint32_t free_ = kNone;
};

}  // namespace ringmta::spool
