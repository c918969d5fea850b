// SPDX-License-Identifier: GPL-3.0-or-later
// Wildcards spelled out by getifaddrs(3), so that a mail host that is this machine is known before
// it is spoken to, and with it which other hosts of the domain must not be (RFC 5321 5.1).

#include "own_addresses.h"

#include <ifaddrs.h>
#include <netinet/in.h>

#include <cstring>
#include <memory>

namespace ringmta::relay {

namespace {

bool is_wildcard(const SocketAddress& address) {
  const std::string host = address.host_text();
  return host == "0.0.0.0" || host == "::";
}

}  // namespace

std::vector<SocketAddress> own_addresses(const std::vector<SocketAddress>& listening) {
  std::vector<SocketAddress> own = listening;
  ifaddrs* found = nullptr;
  if (getifaddrs(&found) != 0) return own;
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(found, freeifaddrs);
  for (const SocketAddress& wild : listening) {
    if (!is_wildcard(wild)) continue;
    for (const ifaddrs* one = found; one != nullptr; one = one->ifa_next) {
      if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != wild.family()) continue;
      SocketAddress address;
      address.length = wild.family() == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
      std::memcpy(&address.storage, one->ifa_addr, address.length);
      address.set_port(wild.port());
      own.push_back(address);
    }
  }
  return own;
}

}  // namespace ringmta::relay
