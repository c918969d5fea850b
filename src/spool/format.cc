// SPDX-License-Identifier: GPL-3.0-or-later
// Encoding and checking of what format.h describes. Decoding is total: whatever the octets are, the
// answer is a value or "not valid", never a read outside of them.
#include "format.h"

#include <cstddef>

#include "ringmta/base/assert.h"
#include "ringmta/base/crc32c.h"

namespace ringmta::spool {
namespace {

template <typename Header>
uint32_t crc_before(const Header& header, size_t length) {
  return crc32c({reinterpret_cast<const std::byte*>(&header), length});
}

enum : uint8_t {
  kHasDotStuffing = 1,
  kHasEightBit = 2,
  kIsDsn = 4,
  kEightBit = 8,
  kUtf8 = 16,
};

constexpr size_t kTextMax = UINT16_MAX;
constexpr size_t kRecipientFixed = 5;

void put_text(std::byte*& into, std::string_view text) {
  if (!text.empty()) std::memcpy(into, text.data(), text.size());
  into += text.size();
}

// Cuts `length` octets off the front; false when there are not so many.
bool cut(Bytes& left, size_t length, std::string_view& text) {
  if (left.size() < length) return false;
  text = as_text(left.first(length));
  left = left.subspan(length);
  return true;
}

}  // namespace

void put_segment_header(SegmentHeader header, std::byte* block) {
  header.crc = crc_before(header, offsetof(SegmentHeader, crc));
  std::memset(block, 0, kBlock);
  store(block, header);
  store(block + kHeaderCopyAt, header);
}

std::optional<SegmentHeader> segment_header(Bytes block, uint32_t number) {
  std::optional<SegmentHeader> newest;
  for (const size_t at : {size_t{0}, kHeaderCopyAt}) {
    if (block.size() < at + sizeof(SegmentHeader)) break;
    const auto header = load<SegmentHeader>(block.data() + at);
    if (header.magic != kSegmentMagic || header.version != kFormatVersion ||
        header.number != number || header.crc != crc_before(header, offsetof(SegmentHeader, crc))) {
      continue;
    }
    if (!newest || header.epoch > newest->epoch) newest = header;
  }
  return newest;
}

void seal(BatchHeader& header) { header.crc = crc_before(header, offsetof(BatchHeader, crc)); }

bool valid(const BatchHeader& header, Place place, uint64_t room) {
  return header.magic == kBatchMagic && header.epoch == place.epoch &&
         header.number == place.number && header.length != 0 && header.length % kBlock == 0 &&
         header.length <= room && header.crc == crc_before(header, offsetof(BatchHeader, crc));
}

uint32_t header_check(const RecordHeader& header, Place place, uint64_t offset) {
  std::byte octets[32];
  store(octets, header.type);
  store(octets + 4, header.length);
  store(octets + 8, header.payload_crc);
  store(octets + 12, place.number);
  store(octets + 16, place.epoch);
  store(octets + 24, offset);
  return crc32c(octets);
}

bool known(uint32_t type) {
  return type >= static_cast<uint32_t>(RecordType::message) &&
         type <= static_cast<uint32_t>(RecordType::checkpoint) &&
         (type & 0xFFFFFF) == (static_cast<uint32_t>(RecordType::message) & 0xFFFFFF);
}

std::optional<MessageFixed> message_fixed(Bytes payload) {
  if (payload.size() < sizeof(MessageFixed)) return std::nullopt;
  const auto fixed = load<MessageFixed>(payload.data());
  const uint64_t head_end = uint64_t{fixed.head_length} + fixed.trace_length;
  if (fixed.head_length < sizeof(MessageFixed) || head_end > fixed.content_offset ||
      uint64_t{fixed.content_offset} + fixed.content_length != payload.size()) {
    return std::nullopt;
  }
  return fixed;
}

bool check_message(Bytes payload, uint32_t payload_crc) {
  const auto fixed = message_fixed(payload);
  if (!fixed) return false;
  return crc32c(payload.first(fixed->content_offset)) == payload_crc &&
         crc32c(payload.subspan(fixed->content_offset)) == fixed->content_crc;
}

bool check_payload(uint32_t type, Bytes payload, uint32_t payload_crc) {
  return type == static_cast<uint32_t>(RecordType::message) ? check_message(payload, payload_crc)
                                                            : crc32c(payload) == payload_crc;
}

size_t head_length(const MessageHead& head) {
  const smtp::EnvelopeView& envelope = head.envelope;
  size_t length = sizeof(MessageFixed);
  for (const std::string_view text : {envelope.reverse_path, envelope.envelope_id, head.info.client,
                                      head.info.tenant, head.info.user}) {
    if (text.size() > kTextMax) return 0;
    length += text.size();
  }
  for (const smtp::RecipientView& recipient : envelope.recipients) {
    if (recipient.address.size() > kTextMax || recipient.original_recipient.size() > kTextMax) {
      return 0;
    }
    length += kRecipientFixed + recipient.address.size() + recipient.original_recipient.size();
  }
  return length > UINT32_MAX ? 0 : length;
}

void encode_head(const MessageHead& head, MessageId id, size_t length, std::byte* into) {
  const smtp::EnvelopeView& envelope = head.envelope;
  const MessageInfo& info = head.info;
  MessageFixed fixed;
  fixed.id = id.value;
  fixed.arrival_ms = info.arrival.ms;
  fixed.expiry_ms = info.expiry.ms;
  fixed.head_length = static_cast<uint32_t>(length);
  fixed.recipients = static_cast<uint32_t>(envelope.recipients.size());
  fixed.reverse_path_length = static_cast<uint16_t>(envelope.reverse_path.size());
  fixed.envelope_id_length = static_cast<uint16_t>(envelope.envelope_id.size());
  fixed.client_length = static_cast<uint16_t>(info.client.size());
  fixed.tenant_length = static_cast<uint16_t>(info.tenant.size());
  fixed.user_length = static_cast<uint16_t>(info.user.size());
  fixed.flags =
      static_cast<uint8_t>((info.has_dot_stuffing ? kHasDotStuffing : 0) |
                           (info.has_eight_bit ? kHasEightBit : 0) | (info.is_dsn ? kIsDsn : 0) |
                           (envelope.eight_bit ? kEightBit : 0) | (envelope.utf8 ? kUtf8 : 0));
  fixed.dsn_return = static_cast<uint8_t>(envelope.dsn_return);
  store(into, fixed);
  std::byte* at = into + sizeof(fixed);
  put_text(at, envelope.reverse_path);
  put_text(at, envelope.envelope_id);
  put_text(at, info.client);
  put_text(at, info.tenant);
  put_text(at, info.user);
  for (const smtp::RecipientView& recipient : envelope.recipients) {
    store(at, static_cast<uint16_t>(recipient.address.size()));
    store(at + 2, static_cast<uint16_t>(recipient.original_recipient.size()));
    store(at + 4, recipient.notify);
    at += kRecipientFixed;
    put_text(at, recipient.address);
    put_text(at, recipient.original_recipient);
  }
  RINGMTA_ASSERT(at == into + length);
}

std::optional<MessageHead> decode_head(Bytes head, std::vector<smtp::RecipientView>& recipients) {
  recipients.clear();
  if (head.size() < sizeof(MessageFixed)) return std::nullopt;
  const auto fixed = load<MessageFixed>(head.data());
  if (fixed.head_length != head.size()) return std::nullopt;
  if (fixed.dsn_return > static_cast<uint8_t>(smtp::DsnReturn::headers)) return std::nullopt;
  Bytes left = head.subspan(sizeof(MessageFixed));
  if (fixed.recipients > left.size() / kRecipientFixed) return std::nullopt;
  MessageHead result;
  result.info.arrival = {fixed.arrival_ms};
  result.info.expiry = {fixed.expiry_ms};
  result.info.has_dot_stuffing = (fixed.flags & kHasDotStuffing) != 0;
  result.info.has_eight_bit = (fixed.flags & kHasEightBit) != 0;
  result.info.is_dsn = (fixed.flags & kIsDsn) != 0;
  result.envelope.eight_bit = (fixed.flags & kEightBit) != 0;
  result.envelope.utf8 = (fixed.flags & kUtf8) != 0;
  result.envelope.dsn_return = static_cast<smtp::DsnReturn>(fixed.dsn_return);
  if (!cut(left, fixed.reverse_path_length, result.envelope.reverse_path) ||
      !cut(left, fixed.envelope_id_length, result.envelope.envelope_id) ||
      !cut(left, fixed.client_length, result.info.client) ||
      !cut(left, fixed.tenant_length, result.info.tenant) ||
      !cut(left, fixed.user_length, result.info.user)) {
    return std::nullopt;
  }
  for (uint32_t i = 0; i < fixed.recipients; ++i) {
    if (left.size() < kRecipientFixed) return std::nullopt;
    const auto address_length = load<uint16_t>(left.data());
    const auto original_length = load<uint16_t>(left.data() + 2);
    smtp::RecipientView recipient;
    recipient.notify = load<uint8_t>(left.data() + 4);
    left = left.subspan(kRecipientFixed);
    if (!cut(left, address_length, recipient.address) ||
        !cut(left, original_length, recipient.original_recipient)) {
      return std::nullopt;
    }
    recipients.push_back(recipient);
  }
  if (!left.empty()) return std::nullopt;
  result.envelope.recipients = recipients;
  return result;
}

void put_varint(Octets& into, uint64_t value) {
  while (value >= 0x80) {
    into.push_back(static_cast<std::byte>(value | 0x80));
    value >>= 7;
  }
  into.push_back(static_cast<std::byte>(value));
}

void put_u64(Octets& into, uint64_t value) {
  const size_t at = into.size();
  into.resize(at + sizeof(value));
  store(into.data() + at, value);
}

void put_state(Octets& into, const RecipientState& state) {
  put_varint(into, state.index);
  put_varint(into, static_cast<uint64_t>(state.fate) << 1 | (state.delay_reported ? 1 : 0));
  put_varint(into, state.attempts);
  put_varint(into, static_cast<uint64_t>(state.next_attempt.ms));
}

uint64_t Reader::varint() {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (left_.empty()) break;
    const auto octet = static_cast<uint8_t>(left_.front());
    left_ = left_.subspan(1);
    value |= static_cast<uint64_t>(octet & 0x7F) << shift;
    if ((octet & 0x80) == 0) return value;
  }
  ok_ = false;
  left_ = {};
  return 0;
}

uint64_t Reader::u64() {
  if (left_.size() < sizeof(uint64_t)) {
    ok_ = false;
    left_ = {};
    return 0;
  }
  const auto value = load<uint64_t>(left_.data());
  left_ = left_.subspan(sizeof(uint64_t));
  return value;
}

RecipientState Reader::state() {
  RecipientState state;
  const uint64_t index = varint();
  const uint64_t fate = varint();
  const uint64_t attempts = varint();
  state.next_attempt = {static_cast<int64_t>(varint())};
  if (index > UINT32_MAX || fate >> 1 > static_cast<uint64_t>(Fate::removed) ||
      attempts > UINT16_MAX) {
    ok_ = false;
    left_ = {};
    return {};
  }
  state.index = static_cast<uint32_t>(index);
  state.fate = static_cast<Fate>(fate >> 1);
  state.delay_reported = (fate & 1) != 0;
  state.attempts = static_cast<uint16_t>(attempts);
  return state;
}

}  // namespace ringmta::spool
