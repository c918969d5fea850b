// SPDX-License-Identifier: GPL-3.0-or-later
// Keys of the table of failures.
#include <netinet/in.h>
#include <sys/random.h>

#include <cstring>

#include "ringmta/base/assert.h"
#include "ringmta/base/bytes.h"
#include "ringmta/server/auth.h"

namespace ringmta::server {
namespace {

// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
uint64_t mixed(uint64_t value) {
  value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9ULL;
  value = (value ^ value >> 27) * 0x94D049BB133111EBULL;
  return value ^ value >> 31;
}

}  // namespace

AuthShared::AuthShared(bool own_thread)
    : verifier(sasl::PasswordVerifier::kQueueDefault, own_thread) {
  RINGMTA_ASSERT(getrandom(&seed_, sizeof seed_, 0) == static_cast<ssize_t>(sizeof seed_));
}

uint64_t AuthShared::hash(uint64_t kind, std::string_view text) const {
  uint64_t value = mixed(seed_ ^ kind);
  for (const char c : text) value = mixed(value ^ static_cast<unsigned char>(c)) + seed_;
  return mixed(value ^ text.size());
}

uint64_t AuthShared::network_key(const SocketAddress& client) const {
  if (client.family() == AF_INET6) {
    in6_addr address{};
    std::memcpy(&address, reinterpret_cast<const sockaddr_in6*>(client.get())->sin6_addr.s6_addr,
                sizeof address);
    const std::string_view octets(reinterpret_cast<const char*>(&address), sizeof address);
    return IN6_IS_ADDR_V4MAPPED(&address) ? hash(1, octets.substr(12))
                                          : hash(2, octets.substr(0, 8));
  }
  if (client.family() == AF_INET) {
    const auto& address = reinterpret_cast<const sockaddr_in*>(client.get())->sin_addr;
    return hash(1, {reinterpret_cast<const char*>(&address), sizeof address});
  }
  return hash(3, {});
}

uint64_t AuthShared::user_key(std::string_view user) const { return hash(4, user); }

uint64_t AuthShared::joined(uint64_t network, uint64_t user) {
  return mixed(network + 0x9E3779B97F4A7C15ULL * user);
}

}  // namespace ringmta::server
