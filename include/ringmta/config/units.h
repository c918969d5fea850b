// SPDX-License-Identifier: GPL-3.0-or-later
// Durations and sizes as people write them: "250ms", "10s", "1h30m", "3d"; "64MiB", "50MB".
//
// Whole numbers with a unit, always; a bare number of seconds or milliseconds is the oldest source
// of wrong timeouts. Formatting is exact: what format_*() gives, parse_*() reads back.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "ringmta/base/result.h"
#include "ringmta/base/time.h"

namespace ringmta::config {

Result<Milliseconds> parse_duration(std::string_view text);
std::string format_duration(Milliseconds duration);

Result<uint64_t> parse_size(std::string_view text);  // octets
std::string format_size(uint64_t octets);

}  // namespace ringmta::config
