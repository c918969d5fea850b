// SPDX-License-Identifier: GPL-3.0-or-later
// The system's list of DNS servers, resolv.conf(5), for where the configuration names none.
#pragma once

#include <string_view>
#include <vector>

#include "ringmta/base/address.h"
#include "ringmta/base/result.h"
#include "ringmta/base/time.h"

namespace ringmta::dns {

inline constexpr uint16_t kDnsPort = 53;
inline constexpr size_t kServersMax = 8;

struct ResolvConf {
  std::vector<SocketAddress>
      servers;  // at most kServersMax; never empty: 127.0.0.1 where none is named
  std::vector<std::string> ignored;  // sentences: lines that say nothing useful
};

// "nameserver" lines only: search lists have no place in mail, which has full names.
ResolvConf parse_resolv_conf(std::string_view text);
ResolvConf system_resolv_conf();  // of /etc/resolv.conf; blocks

// A configured server: "192.0.2.53", "[2001:db8::53]:5353", "127.0.0.1:5300".
Result<SocketAddress> parse_server(std::string_view text);

}  // namespace ringmta::dns
