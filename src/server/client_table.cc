// SPDX-License-Identifier: GPL-3.0-or-later
// Sessions in all and per client address, counted over all shards without a lock: a fixed table of
// atomics, so that an attacker with many addresses cannot make it grow.

#include <netinet/in.h>
#include <sys/random.h>

#include <cstring>

#include "ringmta/base/assert.h"
#include "ringmta/server/server.h"

namespace ringmta::server {
namespace {

// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
uint64_t mixed(uint64_t value) {
  value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9ULL;
  value = (value ^ value >> 27) * 0x94D049BB133111EBULL;
  return value ^ value >> 31;
}

uint64_t secret_of_system() {
  uint64_t secret = 0;
  RINGMTA_ASSERT(getrandom(&secret, sizeof secret, 0) == static_cast<ssize_t>(sizeof secret));
  return secret;
}

}  // namespace

ClientTable::ClientTable() : ClientTable(secret_of_system()) {}

// Mixed with the secret before and after: without it the mixing can be undone by anybody.
size_t ClientTable::bucket(const SocketAddress& client) const {
  uint64_t network = 0;
  if (client.family() == AF_INET) {
    network = reinterpret_cast<const sockaddr_in*>(client.get())->sin_addr.s_addr;
  } else if (client.family() == AF_INET6) {
    const in6_addr& address = reinterpret_cast<const sockaddr_in6*>(client.get())->sin6_addr;
    uint32_t last = 0;
    std::memcpy(&last, address.s6_addr + 12, sizeof last);
    std::memcpy(&network, address.s6_addr, sizeof network);
    network = IN6_IS_ADDR_V4MAPPED(&address) ? last : ~network;
  }
  return (mixed(mixed(network ^ secret_) + secret_)) % kBuckets;
}

// Never lets more in than the limit, not for a moment either: of two shards that meet at the last
// place, both may be refused.
bool ClientTable::count(std::atomic<uint32_t>& counter, uint32_t limit) {
  const uint32_t before = counter.fetch_add(1, std::memory_order_relaxed);
  if (before < limit) return true;
  counter.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

ClientTable::Answer ClientTable::enter(const SocketAddress& client, const Limits& limits) {
  if (!count(total_, limits.sessions_max)) return Answer::too_many;
  const uint32_t of_client =
      limits.sessions_per_client_max == 0 ? UINT32_MAX : limits.sessions_per_client_max;
  if (count(counts_[bucket(client)], of_client)) return Answer::entered;
  total_.fetch_sub(1, std::memory_order_relaxed);
  return Answer::too_many_of_client;
}

void ClientTable::leave(const SocketAddress& client) {
  counts_[bucket(client)].fetch_sub(1, std::memory_order_relaxed);
  total_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace ringmta::server
