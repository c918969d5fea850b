// SPDX-License-Identifier: GPL-3.0-or-later
// Numbers and foreign text as people read them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "ringmta/base/time.h"

namespace ringmta::cli {

std::string count_text(uint64_t number);   // 1234567 -> "1,234,567"
std::string octets_text(uint64_t octets);  // "512 B", "1.5 KiB", "20 MiB"
std::string span_text(Milliseconds span);  // the two largest units: "350 ms", "12 s", "3 d 4 h"
std::string rate_text(double per_second);  // "0", "0.25", "12.5", "4,810"
std::string percent_text(double share);    // 0.374 -> "37%"

// What comes from mail or from peers may hold anything; nothing of it reaches the terminal but
// printable text: control characters and broken UTF-8 become "?", line breaks a space.
std::string harmless(std::string_view text);

// Columns it takes on a terminal, one per code point.
size_t width_of(std::string_view text);

}  // namespace ringmta::cli
