// SPDX-License-Identifier: GPL-3.0-or-later
// Where this machine can be reached by those who know where it listens.
#pragma once

#include <vector>

#include "ringmta/base/address.h"

namespace ringmta::relay {

// `listening` with each wildcard address followed by every address of this machine it stands for,
// as far as the system tells. (An address that comes up later is recognised only when a connection
// to it turns out to end here.)
std::vector<SocketAddress> own_addresses(const std::vector<SocketAddress>& listening);

}  // namespace ringmta::relay
