// SPDX-License-Identifier: GPL-3.0-or-later
// JSON text written through a bare pointer: the caller has made room, so nothing here checks any.
//
// The insight: mail addresses and replies are nearly always plain ASCII. So a string is looked at
// 16 octets at a time (base/octets.h), and only a piece with something odd in it is walked octet by
// octet.
//
// The result is always valid UTF-8 and one line: control characters (C0, DEL and C1) are escaped,
// each octet that is not part of valid UTF-8 becomes U+FFFD.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ringmta/base/time.h"

namespace ringmta::events {

inline constexpr size_t kEscapeFactor = 6;     // an octet becomes at most "\u001f"
inline constexpr size_t kNumberTextMax = 20;   // digits of UINT64_MAX
inline constexpr size_t kTimeTextLength = 24;  // 2026-11-24T05:42:14.000Z

inline char* put(char* to, std::string_view text) { return to + text.copy(to, text.size()); }

char* put_escaped(char* to, std::string_view text);  // without the quotes
char* put_number(char* to, uint64_t number);
char* put_time(char* to, WallTime time);  // UTC with milliseconds, RFC 3339; years 1970 to 9999

}  // namespace ringmta::events
