// SPDX-License-Identifier: GPL-3.0-or-later
// Socket addresses as text and back, and networks. Only literal addresses: a name is never resolved
// here, so nothing in this file can block. An absolute path is a Unix socket's address.
#include "ringmta/base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <optional>

namespace ringmta {
namespace {

constexpr size_t kMappedPrefix = 12;  // octets of ::ffff:0:0/96 before the IPv4 address

// Copies out of the storage, so that no rule about aliasing is bent.
template <typename T>
T copied(const SocketAddress& address) {
  T value{};
  std::memcpy(&value, &address.storage, sizeof value);
  return value;
}

template <typename T>
SocketAddress made_of(const T& value, size_t length = sizeof(T)) {
  SocketAddress address;
  std::memcpy(&address.storage, &value, sizeof value);
  address.length = static_cast<socklen_t>(length);
  return address;
}

bool is_mapped(const uint8_t* octets) {
  constexpr uint8_t kPrefix[kMappedPrefix] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
  return std::memcmp(octets, kPrefix, sizeof kPrefix) == 0;
}

// The octets of an IP address with IPv4-mapped ones as IPv4; family 0 for anything else.
struct Octets {
  uint8_t value[16] = {};
  int family = 0;
};

Octets octets_of(const SocketAddress& address) {
  Octets octets;
  if (address.family() == AF_INET) {
    const auto inet = copied<sockaddr_in>(address);
    std::memcpy(octets.value, &inet.sin_addr, 4);
    octets.family = AF_INET;
  } else if (address.family() == AF_INET6) {
    const auto inet = copied<sockaddr_in6>(address);
    const auto* from = reinterpret_cast<const uint8_t*>(&inet.sin6_addr);
    if (is_mapped(from)) {
      std::memcpy(octets.value, from + kMappedPrefix, 4);
      octets.family = AF_INET;
    } else {
      std::memcpy(octets.value, from, 16);
      octets.family = AF_INET6;
    }
  }
  return octets;
}

std::string ip_text(int family, const uint8_t* octets) {
  char text[INET6_ADDRSTRLEN] = {};
  return inet_ntop(family, octets, text, sizeof text) != nullptr ? text : std::string();
}

// The path of a Unix address: empty when unnamed, a leading @ for the abstract kind.
std::string unix_path(const SocketAddress& address) {
  const auto named = copied<sockaddr_un>(address);
  const size_t start = offsetof(sockaddr_un, sun_path);
  if (address.length <= start) return {};
  const size_t octets = std::min(address.length - start, sizeof named.sun_path);
  if (named.sun_path[0] == '\0') {
    return octets <= 1 ? std::string() : "@" + std::string(named.sun_path + 1, octets - 1);
  }
  return {named.sun_path, strnlen(named.sun_path, octets)};
}

std::optional<Octets> parse_octets(std::string_view text) {
  Octets octets;
  const std::string terminated(text);
  if (inet_pton(AF_INET, terminated.c_str(), octets.value) == 1) {
    octets.family = AF_INET;
    return octets;
  }
  if (inet_pton(AF_INET6, terminated.c_str(), octets.value) == 1) {
    octets.family = AF_INET6;
    return octets;
  }
  return std::nullopt;
}

// Decimal digits only, at most `maximum`; nothing else around them.
std::optional<int> parse_number(std::string_view text, int maximum) {
  int value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, value);
  if (problem != std::errc{} || stop != end || text.front() == '-' || value > maximum) {
    return std::nullopt;
  }
  return value;
}

std::string quoted(std::string_view text) {
  std::string result = "\"";
  result += text;
  result += '"';
  return result;
}

std::unexpected<Error> not_an_address(std::string_view text) {
  return fail(quoted(text) +
              " is not a literal address: write 192.0.2.1:25, [2001:db8::1]:25 or the address "
              "without a port");
}

Result<SocketAddress> parse_unix_address(std::string_view text) {
  sockaddr_un named{};
  named.sun_family = AF_UNIX;
  if (text.size() >= sizeof named.sun_path) {
    return fail(quoted(text) + " is too long for a Unix socket: at most " +
                std::to_string(sizeof named.sun_path - 1) + " octets are allowed");
  }
  std::memcpy(named.sun_path, text.data(), text.size());
  return made_of(named, offsetof(sockaddr_un, sun_path) + text.size() + 1);
}

}  // namespace

uint16_t SocketAddress::port() const {
  if (family() == AF_INET) return ntohs(copied<sockaddr_in>(*this).sin_port);
  if (family() == AF_INET6) return ntohs(copied<sockaddr_in6>(*this).sin6_port);
  return 0;
}

void SocketAddress::set_port(uint16_t port) {
  if (family() == AF_INET) {
    auto inet = copied<sockaddr_in>(*this);
    inet.sin_port = htons(port);
    std::memcpy(&storage, &inet, sizeof inet);
  } else if (family() == AF_INET6) {
    auto inet = copied<sockaddr_in6>(*this);
    inet.sin6_port = htons(port);
    std::memcpy(&storage, &inet, sizeof inet);
  }
}

bool SocketAddress::is_loopback() const {
  if (family() == AF_UNIX) return true;
  const Octets octets = octets_of(*this);
  if (octets.family == AF_INET) return octets.value[0] == 127;
  constexpr uint8_t kLoopback[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return octets.family == AF_INET6 && std::memcmp(octets.value, kLoopback, sizeof kLoopback) == 0;
}

bool SocketAddress::operator==(const SocketAddress& other) const {
  if (family() != other.family() || port() != other.port()) return false;
  switch (family()) {
    case AF_INET:
      return copied<sockaddr_in>(*this).sin_addr.s_addr ==
             copied<sockaddr_in>(other).sin_addr.s_addr;
    case AF_INET6: {
      const auto mine = copied<sockaddr_in6>(*this);
      const auto theirs = copied<sockaddr_in6>(other);
      return std::memcmp(&mine.sin6_addr, &theirs.sin6_addr, sizeof mine.sin6_addr) == 0 &&
             mine.sin6_scope_id == theirs.sin6_scope_id;
    }
    case AF_UNIX:
      return unix_path(*this) == unix_path(other);
    default:
      return length == other.length;
  }
}

std::string SocketAddress::host_text() const {
  if (family() == AF_UNIX) {
    const std::string path = unix_path(*this);
    return path.empty() ? "unix" : path;
  }
  const Octets octets = octets_of(*this);
  return octets.family == 0 ? "unknown" : ip_text(octets.family, octets.value);
}

std::string SocketAddress::text() const {
  const Octets octets = octets_of(*this);
  if (octets.family == 0) return host_text();
  const std::string port_text = ":" + std::to_string(port());
  if (octets.family == AF_INET6) return "[" + host_text() + "]" + port_text;
  return host_text() + port_text;
}

std::string SocketAddress::literal_text() const {
  return octets_of(*this).family == AF_INET6 ? "IPv6:" + host_text() : host_text();
}

Result<SocketAddress> parse_socket_address(std::string_view text, uint16_t default_port) {
  if (text.starts_with('/')) return parse_unix_address(text);
  std::string_view host = text;
  std::string_view port_text;
  bool has_port = false;
  bool bracketed = false;
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return not_an_address(text);
    host = text.substr(1, end - 1);
    const std::string_view rest = text.substr(end + 1);
    if (!rest.empty() && rest.front() != ':') return not_an_address(text);
    has_port = !rest.empty();
    if (has_port) port_text = rest.substr(1);
    bracketed = true;
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    const size_t colon = text.find(':');
    host = text.substr(0, colon);
    port_text = text.substr(colon + 1);
    has_port = true;
  }
  const std::optional<Octets> octets = parse_octets(host);
  if (!octets || (bracketed && octets->family != AF_INET6)) return not_an_address(text);
  uint16_t port = default_port;
  if (has_port) {
    const std::optional<int> number =
        port_text.empty() ? std::nullopt : parse_number(port_text, 65535);
    if (!number) {
      return fail(quoted(text) + " has no valid port: it is a number from 0 to 65535");
    }
    port = static_cast<uint16_t>(*number);
  }
  if (octets->family == AF_INET) {
    sockaddr_in inet{};
    inet.sin_family = AF_INET;
    inet.sin_port = htons(port);
    std::memcpy(&inet.sin_addr, octets->value, 4);
    return made_of(inet);
  }
  sockaddr_in6 inet{};
  inet.sin6_family = AF_INET6;
  inet.sin6_port = htons(port);
  std::memcpy(&inet.sin6_addr, octets->value, 16);
  return made_of(inet);
}

Result<Network> Network::parse(std::string_view text) {
  const size_t slash = text.find('/');
  const std::optional<Octets> octets = parse_octets(text.substr(0, slash));
  if (!octets) {
    return fail(quoted(text) +
                " is not a network: write 192.0.2.0/24, 2001:db8::/32 or a single "
                "address");
  }
  const int bits_max = octets->family == AF_INET ? 32 : 128;
  int bits = bits_max;
  if (slash != std::string_view::npos) {
    const std::string_view bits_text = text.substr(slash + 1);
    const std::optional<int> number =
        bits_text.empty() ? std::nullopt : parse_number(bits_text, bits_max);
    if (!number) {
      return fail(quoted(text) + " has no valid prefix length: it is a number from 0 to " +
                  std::to_string(bits_max));
    }
    bits = *number;
  }
  Network network;
  network.family_ = octets->family;
  network.prefix_bits_ = bits;
  std::memcpy(network.address_, octets->value, sizeof network.address_);
  for (int bit = bits; bit < bits_max; ++bit) {
    const auto mask = static_cast<uint8_t>(0x80 >> (bit % 8));
    network.address_[bit / 8] = static_cast<uint8_t>(network.address_[bit / 8] & ~mask);
  }
  if (std::memcmp(network.address_, octets->value, sizeof network.address_) != 0) {
    return fail(quoted(text) + " has host bits beyond its prefix: did you mean " + network.text() +
                "?");
  }
  if (network.family_ == AF_INET6 && bits >= 96 && is_mapped(network.address_)) {
    uint8_t inet[16] = {};
    std::memcpy(inet, network.address_ + kMappedPrefix, 4);
    std::memcpy(network.address_, inet, sizeof inet);
    network.family_ = AF_INET;
    network.prefix_bits_ = bits - 96;
  }
  return network;
}

bool Network::contains(const SocketAddress& address) const {
  const Octets octets = octets_of(address);
  if (octets.family != family_ || family_ == 0) return false;
  const auto whole = static_cast<size_t>(prefix_bits_ / 8);
  if (std::memcmp(octets.value, address_, whole) != 0) return false;
  const int rest = prefix_bits_ % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<uint8_t>(0xFF00 >> rest);
  return (octets.value[whole] & mask) == (address_[whole] & mask);
}

std::string Network::text() const {
  return ip_text(family_, address_) + "/" + std::to_string(prefix_bits_);
}

bool any_contains(const std::vector<Network>& networks, const SocketAddress& address) {
  return std::any_of(networks.begin(), networks.end(),
                     [&](const Network& network) { return network.contains(address); });
}

}  // namespace ringmta
