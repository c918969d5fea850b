// SPDX-License-Identifier: GPL-3.0-or-later
// Wildcards spelled out, so that a mail host that is this machine is known before
// it is spoken to, and with it which other hosts of the domain must not be (RFC 5321 5.1).

#include "own_addresses.h"

#include "ringmta/base/interfaces.h"

namespace ringmta::relay {

namespace {

bool is_wildcard(const SocketAddress& address) {
  const std::string host = address.host_text();
  return host == "0.0.0.0" || host == "::";
}

}  // namespace

std::vector<SocketAddress> own_addresses(const std::vector<SocketAddress>& listening) {
  std::vector<SocketAddress> own = listening;
  const std::vector<SocketAddress> all = interface_addresses();
  for (const SocketAddress& wild : listening) {
    if (!is_wildcard(wild)) continue;
    for (SocketAddress address : all) {
      if (address.family() != wild.family()) continue;
      address.set_port(wild.port());
      own.push_back(address);
    }
  }
  return own;
}

}  // namespace ringmta::relay
