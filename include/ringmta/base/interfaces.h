// SPDX-License-Identifier: GPL-3.0-or-later
// The addresses of this machine, from getifaddrs(3).
#pragma once

#include <vector>

#include "ringmta/base/address.h"

namespace ringmta {

// IPv4 and IPv6 addresses the interfaces are configured with, loopback among them, port 0. Empty
// where the system does not tell. May block: not for a shard.
std::vector<SocketAddress> interface_addresses();

}  // namespace ringmta
