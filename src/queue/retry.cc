// SPDX-License-Identifier: GPL-3.0-or-later
// Exponential backoff, rendezvous hashing, shares.
#include "retry.h"

#include <algorithm>
#include <cmath>

#include "index_table.h"

namespace ringmta::queue {

Milliseconds retry_wait(const RetryOptions& options, uint32_t attempts, Prng& prng) {
  const auto longest = static_cast<double>(options.longest.count);
  const double grown = static_cast<double>(options.first.count) *
                       std::pow(options.factor, attempts > 0 ? attempts - 1 : 0);
  const double wait = std::min(grown, longest);  // infinity too
  constexpr uint64_t kSteps = 1U << 20;
  const double random = static_cast<double>(prng.below(kSteps)) / kSteps;  // [0, 1)
  const double varied = wait * (1.0 + options.jitter * (2.0 * random - 1.0));
  return {std::max<int64_t>(1, std::llround(varied))};
}

ShardId home_of(std::string_view site, uint32_t shards) {
  const uint64_t key = hash_text(site);
  uint64_t highest = 0;
  ShardId home{};
  for (uint32_t shard = 0; shard < shards; ++shard) {
    const uint64_t weight = mix(key ^ mix(shard + 1));
    if (weight >= highest) {
      highest = weight;
      home.value = static_cast<uint16_t>(shard);
    }
  }
  return home;
}

uint32_t local_share(uint32_t connections_max, ShardId home, ShardId shard, uint32_t shards) {
  if (connections_max < shards) return shard == home ? connections_max : 0;
  const uint32_t distance = (shard.value + shards - home.value) % shards;
  return connections_max / shards + (distance < connections_max % shards ? 1 : 0);
}

}  // namespace ringmta::queue
