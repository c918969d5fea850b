// SPDX-License-Identifier: GPL-3.0-or-later
// The octets of a segment: headers, records and notes, and how they are checked.
//
// The insight: a record proves by itself where it belongs. Its header's checksum covers the
// segment's number and epoch and the record's offset, so data of an earlier life of the segment,
// or of another place, never passes, and recovery can find whole records even where the batch
// around them is damaged. The content's checksum is made while the content arrives, before anybody
// knows where the record will lie; only the 16 octets of the header are sealed at the last moment.
//
// Records begin at multiples of 8. Where a record would begin and there are zeroes instead, the
// next one begins at the next multiple of 4096 (the memory parts of a batch end there).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "ringmta/base/bytes.h"
#include "ringmta/spool/record.h"

namespace ringmta::spool {

constexpr uint64_t round_up(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

inline constexpr uint64_t kSegmentMagic = 0x31544E454D474553;  // "SEGMENT1"
inline constexpr uint64_t kBatchMagic = 0x3148435441424D52;    // "RMBATCH1"
inline constexpr uint32_t kFormatVersion = 2;
inline constexpr uint32_t kRecordAlign = 8;  // places in a segment are counted in it

enum class SegmentUse : uint32_t {
  spare = 1,   // holds nothing: recovery need not look at the rest
  open = 2,    // holds, or is about to hold, batches
  retired = 3  // given back to the file system but for this block, which keeps its name
};

// The first block of a segment holds this twice, in sectors of their own, so that one damaged
// sector does not hide a segment; the rest of the block is zero.
struct SegmentHeader {
  uint64_t magic = kSegmentMagic;
  uint32_t version = kFormatVersion;
  uint32_t number = 0;
  uint64_t epoch = 0;  // growing: another in each life of the segment
  uint64_t size = 0;   // octets of the file
  // Of the messages that this shard has named before: what this life of the segment overwrites may
  // be the last that knew of it, and a wall clock that was set back would name another so again.
  uint64_t highest_id = 0;
  SegmentUse use = SegmentUse::spare;
  uint32_t crc = 0;  // of what is before it
};
static_assert(sizeof(SegmentHeader) == 48);
inline constexpr size_t kHeaderCopyAt = 2048;

struct BatchHeader {
  static constexpr uint32_t kDamageKnown = 1;  // recovery has seen and reported the damage in it
  uint64_t magic = kBatchMagic;
  uint64_t epoch = 0;
  uint64_t sequence = 0;  // growing in a shard's log, and over restarts
  uint32_t number = 0;    // of the segment
  uint32_t shard = 0;     // that wrote it
  uint32_t length = 0;    // octets, a multiple of 4096
  uint32_t records = 0;
  uint32_t flags = 0;
  // Where the batch before this one ended, if it lies in another segment: what is damaged before
  // that end was acknowledged once, so it is no torn tail.
  uint32_t previous_number = 0;
  uint64_t previous_epoch = 0;
  uint32_t previous_end = 0;
  uint32_t crc = 0;  // of what is before it
};
static_assert(sizeof(BatchHeader) == 64);

enum class RecordType : uint32_t {
  message = 0x01544D52,    // "RMT" and a number
  states = 0x02544D52,     // what became of some recipients
  tombstone = 0x03544D52,  // ids of finished messages
  never = 0x04544D52,      // a write to a segment failed: its messages from there on never were
  checkpoint = 0x05544D52  // which messages of one segment live, with their states
};

struct RecordHeader {
  uint32_t type = 0;
  uint32_t length = 0;       // of the payload
  uint32_t payload_crc = 0;  // of the payload; of a message: up to its content
  uint32_t header_crc = 0;   // of the fields above and the place
};
static_assert(sizeof(RecordHeader) == 16);

// The payload of a message record begins with this; then the envelope, the trace lines, possibly
// padding, and the content.
struct MessageFixed {
  uint64_t id = 0;
  int64_t arrival_ms = 0;
  int64_t expiry_ms = 0;
  uint32_t head_length = 0;  // this and the envelope
  uint32_t trace_length = 0;
  uint32_t content_offset = 0;  // from the beginning of the payload
  uint32_t content_length = 0;
  uint32_t content_crc = 0;
  uint32_t recipients = 0;
  uint16_t reverse_path_length = 0;
  uint16_t envelope_id_length = 0;
  uint16_t client_length = 0;
  uint16_t tenant_length = 0;
  uint8_t flags = 0;
  uint8_t dsn_return = 0;
  uint16_t user_length = 0;
  uint32_t reserved = 0;
};
static_assert(sizeof(MessageFixed) == 64);

// Epochs grow with the batches' sequence; their lowest bits are random, so that nobody can put
// octets that pass for a record into the content of a mail.
inline constexpr uint32_t kEpochRandomBits = 24;
inline constexpr uint64_t kEpochRandomMask = (1U << kEpochRandomBits) - 1;

// A life of a segment, as a seed for what belongs to it.
struct Place {
  uint64_t epoch = 0;
  uint32_t number = 0;
};

// Both copies, sealed, into a block.
void put_segment_header(SegmentHeader header, std::byte* block);
// The newer of the copies that are valid and have this number.
std::optional<SegmentHeader> segment_header(Bytes block, uint32_t number);
void seal(BatchHeader& header);
bool valid(const BatchHeader& header, Place place, uint64_t room);
uint32_t header_check(const RecordHeader& header, Place place, uint64_t offset);
bool known(uint32_t type);

// A message's payload is whole: both checksums, and lengths that agree.
bool check_message(Bytes payload, uint32_t payload_crc);
// The fixed part, where the lengths in it agree with the payload's.
std::optional<MessageFixed> message_fixed(Bytes payload);

// Both kinds of records in one question: `payload` is whole.
bool check_payload(uint32_t type, Bytes payload, uint32_t payload_crc);

// Head: MessageFixed and envelope. 0: something is too long to be written.
size_t head_length(const MessageHead& head);
// `into` has head_length() octets; the fields about content and trace are zero.
void encode_head(const MessageHead& head, MessageId id, size_t length, std::byte* into);

// Notes are encoded into growing octets, then copied into a batch.
using Octets = std::vector<std::byte>;
void put_varint(Octets& into, uint64_t value);
void put_u64(Octets& into, uint64_t value);
void put_state(Octets& into, const RecipientState& state);

// Reads what the put functions wrote; total: past the end or on nonsense `ok` is false.
class Reader final {
 public:
  explicit Reader(Bytes bytes) : left_(bytes) {}
  uint64_t varint();
  uint64_t u64();
  RecipientState state();
  bool ok() const { return ok_; }
  bool at_end() const { return left_.empty(); }

 private:
  Bytes left_;
  bool ok_ = true;
};

}  // namespace ringmta::spool
