// SPDX-License-Identifier: GPL-3.0-or-later
// Literal addresses go through base/address.h; only names ask the system's resolver, once, before
// anything runs.
#include "tools/common/endpoints.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>

#include <charconv>
#include <cstring>
#include <memory>
#include <string>

namespace ringmta::tools {
namespace {

bool parse_port(std::string_view text, uint16_t& port) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size();
}

Result<SocketAddress> resolve(std::string_view text) {
  const size_t colon = text.rfind(':');
  uint16_t port = 0;
  if (colon == std::string_view::npos || colon == 0 || !parse_port(text.substr(colon + 1), port) ||
      port == 0) {
    return fail(fmt::format("'{}' is not HOST:PORT; write for example 127.0.0.1:2525", text));
  }
  if (auto literal = parse_socket_address(text, 0); literal) return literal;
  const std::string host(text.substr(0, colon));
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found); error != 0) {
    return fail(fmt::format("cannot resolve '{}': {}; use an address such as 127.0.0.1:{}", host,
                            gai_strerror(error), port));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, freeaddrinfo);
  SocketAddress address;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.length = found->ai_addrlen;
  address.set_port(port);
  return address;
}

Result<uint32_t> parse_ipv4(std::string_view text) {
  in_addr address{};
  if (inet_pton(AF_INET, std::string(text).c_str(), &address) != 1) {
    return fail(fmt::format(
        "'{}' is not an IPv4 address; ranges are written 127.0.1.1-127.0.1.200:2525", text));
  }
  return ntohl(address.s_addr);
}

}  // namespace

Result<std::vector<SocketAddress>> parse_targets(std::string_view text) {
  std::vector<SocketAddress> targets;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    auto target = resolve(text.substr(0, comma));
    if (!target) return std::unexpected(target.error());
    targets.push_back(*target);
    text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
  }
  if (targets.empty()) return fail("no target given; write for example 127.0.0.1:2525");
  return targets;
}

Result<std::vector<SocketAddress>> parse_listeners(std::string_view text) {
  const size_t dash = text.find('-');
  const size_t colon = text.rfind(':');
  uint16_t port = 0;
  if (colon == std::string_view::npos || !parse_port(text.substr(colon + 1), port)) {
    return fail(fmt::format(
        "'{}' is not ADDRESS:PORT; write for example 127.0.0.1:2525 or [::1]:2525", text));
  }
  if (dash == std::string_view::npos) {
    auto address = parse_socket_address(text, 0);
    if (!address) return std::unexpected(address.error());
    return std::vector<SocketAddress>{*address};
  }
  if (colon < dash) return fail(fmt::format("'{}': the port comes after the range", text));
  const auto first = parse_ipv4(text.substr(0, dash));
  if (!first) return std::unexpected(first.error());
  const auto last = parse_ipv4(text.substr(dash + 1, colon - dash - 1));
  if (!last) return std::unexpected(last.error());
  if (*last < *first || *last - *first >= kRangeMax) {
    return fail(fmt::format("'{}' must go upwards and hold at most {} addresses", text, kRangeMax));
  }
  std::vector<SocketAddress> listeners;
  for (uint32_t host = *first; host <= *last; ++host) {
    SocketAddress address;
    auto* ipv4 = reinterpret_cast<sockaddr_in*>(&address.storage);
    ipv4->sin_family = AF_INET;
    ipv4->sin_addr.s_addr = htonl(host);
    ipv4->sin_port = htons(port);
    address.length = sizeof(sockaddr_in);
    listeners.push_back(address);
  }
  return listeners;
}

}  // namespace ringmta::tools
