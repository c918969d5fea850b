// SPDX-License-Identifier: GPL-3.0-or-later
// Addresses of the configured smart hosts. Literals are taken as they are; names are looked up by
// the system's resolver, on the supervisor's thread only, so a slow resolver stalls no shard.
#pragma once

#include <string>
#include <vector>

#include "ringmta/queue/options.h"

namespace ringmta::relay {

inline constexpr uint16_t kSmtpPort = 25;

struct HostLookup {
  std::vector<queue::ResolvedHost> hosts;  // one entry per address, in the order configured
  std::vector<std::string> problems;       // sentences: names that gave no address
  bool has_names = false;                  // worth looking up again
};

// May block for as long as the system's resolver does.
HostLookup look_up_hosts(const std::vector<std::string>& configured);

}  // namespace ringmta::relay
