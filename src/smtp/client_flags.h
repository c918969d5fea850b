// SPDX-License-Identifier: GPL-3.0-or-later
// What the client session notes of a recipient, in one octet. Private to the client session.
#pragma once

#include <cstdint>

namespace ringmta::smtp {

inline constexpr uint8_t kSent = 1;      // RCPT was written
inline constexpr uint8_t kAccepted = 2;  // and answered positively
inline constexpr uint8_t kJudged = 4;    // the verdict has been told
inline constexpr uint8_t kReasonShift = 4;

// Why we refuse a recipient ourselves, without asking the peer (in the upper bits).
inline constexpr uint8_t kAcceptable = 0, kTooLarge = 1, kNeedsEightBit = 2, kNeedsUtf8 = 3,
                         kBadSender = 4, kBadRecipient = 5, kTooMany = 6;

}  // namespace ringmta::smtp
