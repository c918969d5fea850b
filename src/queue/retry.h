// SPDX-License-Identifier: GPL-3.0-or-later
// When to try again, and where connections belong: two pure functions.
#pragma once

#include <string_view>

#include "ringmta/base/prng.h"
#include "ringmta/base/time.h"
#include "ringmta/base/types.h"
#include "ringmta/queue/options.h"

namespace ringmta::queue {

// The wait after attempt number `attempts` (1: the first) failed: first x factor^(attempts - 1),
// at most `longest`, varied by up to `jitter` both ways; never less than 1 ms.
Milliseconds retry_wait(const RetryOptions& options, uint32_t attempts, Prng& prng);

// The shard a site's connections live on where its limit is smaller than the number of shards:
// rendezvous hashing (Thaler and Ravishankar, 1998), the same answer on every shard.
ShardId home_of(std::string_view site, uint32_t shards);

// How many of a site's connections are this shard's. The shares of all shards add up to
// `connections_max`; where that is less than one each, the home shard has them all.
uint32_t local_share(uint32_t connections_max, ShardId home, ShardId shard, uint32_t shards);

}  // namespace ringmta::queue
