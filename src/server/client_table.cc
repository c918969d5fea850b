// SPDX-License-Identifier: GPL-3.0-or-later
// Sessions per client address, counted over all shards without a lock: a fixed table of atomics,
// so that an attacker with many addresses cannot make it grow.

#include <netinet/in.h>

#include <cstring>

#include "ringmta/server/server.h"

namespace ringmta::server {

// The address without its port, mixed (splitmix64's finisher) down to a bucket.
size_t ClientTable::bucket(const SocketAddress& client) {
  uint64_t mixed = 0;
  if (client.family() == AF_INET) {
    mixed = reinterpret_cast<const sockaddr_in*>(client.get())->sin_addr.s_addr;
  } else if (client.family() == AF_INET6) {
    uint64_t halves[2];
    std::memcpy(halves, &reinterpret_cast<const sockaddr_in6*>(client.get())->sin6_addr,
                sizeof halves);
    mixed = halves[0] * 0x9E3779B97F4A7C15ULL ^ halves[1];
  }
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ULL;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBULL;
  return (mixed ^ (mixed >> 31)) % kBuckets;
}

bool ClientTable::enter(const SocketAddress& client, uint32_t limit) {
  std::atomic<uint32_t>& count = counts_[bucket(client)];
  const uint32_t before = count.fetch_add(1, std::memory_order_relaxed);
  if (limit == 0 || before < limit) return true;
  count.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

void ClientTable::leave(const SocketAddress& client) {
  counts_[bucket(client)].fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace ringmta::server
