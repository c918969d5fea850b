// SPDX-License-Identifier: GPL-3.0-or-later
// Socket addresses by value (IPv4, IPv6, Unix), and networks to match them against.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/base/result.h"

namespace ringmta {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
  uint16_t port() const;
  void set_port(uint16_t port);
  bool is_loopback() const;
  bool operator==(const SocketAddress& other) const;  // family, address and port

  std::string host_text()
      const;                 // "192.0.2.1", "2001:db8::1", "/run/x.sock"; IPv4-mapped shows as IPv4
  std::string text() const;  // "192.0.2.1:25", "[2001:db8::1]:25"
  std::string literal_text()
      const;  // RFC 5321 4.1.3 without brackets: "192.0.2.1", "IPv6:2001:db8::1"
};

// "192.0.2.1:25", "[::1]:25", "192.0.2.1" or "[::1]" or "::1" (then `default_port`). Literal
// addresses only.
Result<SocketAddress> parse_socket_address(std::string_view text, uint16_t default_port);

// "127.0.0.0/8", "::1", "2001:db8::/32". Host bits beyond the prefix must be zero.
class Network final {
 public:
  static Result<Network> parse(std::string_view text);
  bool contains(
      const SocketAddress& address) const;  // IPv4-mapped IPv6 addresses match IPv4 networks
  std::string text() const;

 private:
  uint8_t address_[16] = {};
  int family_ = 0;
  int prefix_bits_ = 0;
};

bool any_contains(const std::vector<Network>& networks, const SocketAddress& address);

}  // namespace ringmta
