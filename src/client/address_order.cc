// SPDX-License-Identifier: GPL-3.0-or-later
// The policy table of RFC 6724 2.1, scopes of 3.1 and 3.2, the source rules of 5 that need no
// routing table (1, 2, 6 and 8).
#include "address_order.h"

#include <netinet/in.h>

#include <array>
#include <bit>
#include <cstring>
#include <optional>

namespace ringmta::client {
namespace {

using Octets = std::array<uint8_t, 16>;

struct Policy {
  Octets prefix;
  unsigned bits;
  uint8_t precedence, label;
};

// RFC 6724 2.1; the longest prefixes first.
constexpr Policy kPolicies[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, 50, 0},  // ::1
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF}, 96, 35, 4},         // IPv4
    {{}, 96, 1, 3},                                                  // ::/96
    {{0x20, 0x01, 0, 0}, 32, 5, 5},                                  // Teredo
    {{0x20, 0x02}, 16, 30, 2},                                       // 6to4
    {{0x3F, 0xFE}, 16, 1, 12},                                       // 6bone
    {{0xFE, 0xC0}, 10, 1, 11},                                       // site-local
    {{0xFC}, 7, 3, 13},                                              // unique local
    {{}, 0, 40, 1},                                                  // all others
};

enum Scope : uint8_t { kLinkLocal = 2, kSiteLocal = 5, kGlobal = 14 };

// IPv4 in its mapped form, as the policy table has it.
std::optional<Octets> octets_of(const SocketAddress& address) {
  Octets octets{};
  if (address.family() == AF_INET) {
    sockaddr_in inet{};
    std::memcpy(&inet, &address.storage, sizeof inet);
    octets[10] = octets[11] = 0xFF;
    std::memcpy(&octets[12], &inet.sin_addr, 4);
    return octets;
  }
  if (address.family() != AF_INET6) return std::nullopt;
  sockaddr_in6 inet6{};
  std::memcpy(&inet6, &address.storage, sizeof inet6);
  std::memcpy(octets.data(), &inet6.sin6_addr, octets.size());
  return octets;
}

unsigned common_bits(const Octets& a, const Octets& b) {
  unsigned bits = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const auto differing = static_cast<uint8_t>(a[i] ^ b[i]);
    if (differing != 0) return bits + static_cast<unsigned>(std::countl_zero(differing));
    bits += 8;
  }
  return bits;
}

const Policy& policy_of(const Octets& octets) {
  for (const Policy& policy : kPolicies) {
    if (common_bits(octets, policy.prefix) >= policy.bits) return policy;
  }
  return kPolicies[std::size(kPolicies) - 1];
}

Scope scope_of(const Octets& octets) {
  const Policy& policy = policy_of(octets);
  if (policy.label == 0) return kLinkLocal;  // ::1 (RFC 4291 2.5.3)
  if (policy.label == 4) {
    const bool near = octets[12] == 127 || (octets[12] == 169 && octets[13] == 254);
    return near ? kLinkLocal : kGlobal;  // private networks are global (RFC 6724 3.2)
  }
  if (octets[0] == 0xFE && (octets[1] & 0xC0) == 0x80) return kLinkLocal;
  if (policy.label == 11) return kSiteLocal;
  return kGlobal;
}

// RFC 6724 5: is `a` a better source for `destination` than `b`?
bool better_source(const Octets& a, const Octets& b, const Octets& destination) {
  if ((a == destination) != (b == destination)) return a == destination;
  const Scope of_a = scope_of(a);
  const Scope of_b = scope_of(b);
  const Scope wanted = scope_of(destination);
  if (of_a < of_b) return of_a >= wanted;
  if (of_b < of_a) return of_b < wanted;
  const uint8_t label = policy_of(destination).label;
  const bool label_a = policy_of(a).label == label;
  const bool label_b = policy_of(b).label == label;
  if (label_a != label_b) return label_a;
  return common_bits(a, destination) > common_bits(b, destination);
}

}  // namespace

uint32_t address_rank(const SocketAddress& destination, std::span<const SocketAddress> sources) {
  const std::optional<Octets> octets = octets_of(destination);
  if (!octets) return 0;
  std::optional<Octets> source;
  for (const SocketAddress& one : sources) {
    if (one.family() != destination.family()) continue;
    const std::optional<Octets> candidate = octets_of(one);
    if (!source || better_source(*candidate, *source, *octets)) source = candidate;
  }
  const Policy& policy = policy_of(*octets);
  const Scope scope = scope_of(*octets);
  const bool known = !sources.empty();
  const uint32_t unusable = known && !source ? 1 : 0;                           // rule 1
  const uint32_t scope_differs = source && scope_of(*source) != scope ? 1 : 0;  // rule 2
  const uint32_t label_differs =                                                // rule 5
      source && policy_of(*source).label != policy.label ? 1 : 0;
  const uint32_t precedence = 255U - policy.precedence;  // rule 6
  return unusable << 18 | scope_differs << 17 | label_differs << 16 | precedence << 8 | scope;
}

}  // namespace ringmta::client
