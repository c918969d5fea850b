// SPDX-License-Identifier: GPL-3.0-or-later
// Addresses as the operator types them on the command line of load and sink.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "ringmta/base/address.h"

namespace ringmta::tools {

// "HOST:PORT" or several with commas between; HOST is an address or a name that the system can
// resolve.
Result<std::vector<SocketAddress>> parse_targets(std::string_view text);

// "ADDRESS:PORT", or an inclusive range of IPv4 addresses "127.0.1.1-127.0.1.200:2525" (at most
// kRangeMax).
inline constexpr size_t kRangeMax = 4096;
Result<std::vector<SocketAddress>> parse_listeners(std::string_view text);

}  // namespace ringmta::tools
