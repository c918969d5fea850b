// SPDX-License-Identifier: GPL-3.0-or-later
// The identities everything else speaks of. Each is its own type, so that a shard number can never
// be taken for a slot.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string_view>

namespace ringmta {

inline constexpr uint32_t kShardsMax = 256;

struct ShardId {
  uint16_t value = 0;
  constexpr auto operator<=>(const ShardId&) const = default;
};

// A slot in a SlotPool plus the generation it was taken with: a stale handle is seen, never
// followed.
struct SlotHandle {
  uint32_t index = 0;
  uint32_t generation = 0;  // 24 bits are used, so that a handle fits in a Token
  constexpr auto operator<=>(const SlotHandle&) const = default;
};
inline constexpr uint32_t kGenerationMask = 0xFFFFFF;

// 42 bits of wall-clock milliseconds since 2020, 8 bits of shard, 14 bits of counter. Unique within
// a spool: after a restart the first id is above the highest one found on disk, whatever the clock
// says.
struct MessageId {
  uint64_t value = 0;
  constexpr auto operator<=>(const MessageId&) const = default;
  constexpr explicit operator bool() const { return value != 0; }
};

// 13 characters of Crockford base32 (0-9 A-Z without I, L, O, U), fixed width; the text peers and
// logs see.
inline constexpr size_t kMessageIdTextLength = 13;
using MessageIdText = std::array<char, kMessageIdTextLength>;
MessageIdText to_text(MessageId id);
// Zero id when `text` is not a message id.
MessageId message_id_from_text(std::string_view text);
inline std::string_view view(const MessageIdText& text) { return {text.data(), text.size()}; }

}  // namespace ringmta
