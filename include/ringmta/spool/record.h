// SPDX-License-Identifier: GPL-3.0-or-later
// What lies on disk. A segment is a file of fixed, pre-written size: a header block, then batches.
// A batch begins at a multiple of 4096 octets and is one write; it carries records, each with
// length, type and CRC32C. All integers are little-endian. The layout of a message record:
//
//   RecordHeader | MessageFixed | envelope text and recipients | trace lines | content (wire form,
//   closing ".CRLF") | pad
//
// Trace lines (Received:, added Date: and Message-ID:) and content are adjacent in the record, so a
// small message leaves for the next hop as one span. A big message's content was gathered in chunks
// of its own: then the record head is padded to a multiple of 4096 and the chunks follow as further
// parts of the same write; on disk it looks the same.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "ringmta/base/bytes.h"
#include "ringmta/base/result.h"
#include "ringmta/base/time.h"
#include "ringmta/base/types.h"
#include "ringmta/smtp/envelope.h"

namespace ringmta::spool {

inline constexpr size_t kBlock = 4096;  // unit of O_DIRECT

// What is kept about a message besides envelope and content.
struct MessageInfo {
  WallTime arrival{};
  WallTime expiry{};
  std::string_view client;  // address of the submitter, "192.0.2.7"
  std::string_view tenant;  // who pays for it in fair scheduling: configured or authenticated
                            // submitter, else empty
  std::string_view user;    // who logged in to submit it; empty: nobody did
  bool has_dot_stuffing = false;
  bool has_eight_bit = false;
  bool is_dsn = false;  // made by ourselves
};

// Everything of a message but its content; views.
struct MessageHead {
  smtp::EnvelopeView envelope;  // recipients included
  MessageInfo info;
};

// The fate of one recipient, as recorded.
enum class Fate : uint8_t { pending, delivered, bounced, expired, removed };
constexpr bool final(Fate fate) { return fate != Fate::pending; }

struct RecipientState {
  uint32_t index = 0;  // in the envelope
  Fate fate = Fate::pending;
  bool delay_reported = false;
  uint16_t attempts = 0;
  WallTime next_attempt{};  // for pending
};

}  // namespace ringmta::spool
