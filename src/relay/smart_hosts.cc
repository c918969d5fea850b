// SPDX-License-Identifier: GPL-3.0-or-later
// getaddrinfo over the configured hosts of a route. Every address of a name is a host of its own:
// the pool goes round among those that answer.

#include "smart_hosts.h"

#include <fmt/format.h>
#include <netdb.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>

namespace ringmta::relay {

namespace {

struct NameAndPort {
  std::string name;
  std::string port;
};

NameAndPort split(const std::string& configured) {
  const size_t colon = configured.rfind(':');
  if (colon == std::string::npos) return {configured, std::to_string(kSmtpPort)};
  return {configured.substr(0, colon), configured.substr(colon + 1)};
}

void look_up_name(const std::string& configured, HostLookup& into) {
  const NameAndPort wanted = split(configured);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int failed = getaddrinfo(wanted.name.c_str(), wanted.port.c_str(), &hints, &found);
  if (failed != 0) {
    into.problems.push_back(
        fmt::format("no address for the smart host {}: {}", configured, gai_strerror(failed)));
    return;
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    queue::ResolvedHost host;
    host.name = configured;
    std::memcpy(&host.address.storage, one->ai_addr, one->ai_addrlen);
    host.address.length = one->ai_addrlen;
    into.hosts.push_back(std::move(host));
  }
}

}  // namespace

HostLookup look_up_hosts(const std::vector<std::string>& configured) {
  HostLookup lookup;
  for (const std::string& host : configured) {
    if (auto literal = parse_socket_address(host, kSmtpPort)) {
      lookup.hosts.push_back({host, *literal});
      continue;
    }
    lookup.has_names = true;
    look_up_name(host, lookup);
  }
  return lookup;
}

}  // namespace ringmta::relay
