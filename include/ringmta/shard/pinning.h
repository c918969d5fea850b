// SPDX-License-Identifier: GPL-3.0-or-later
// Which processor each shard runs on. A shard that stays on its core keeps its caches, and its
// ring's completion work stays where its data is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/base/result.h"

namespace ringmta::shard {

// "0-3,8" gives 0 1 2 3 8, in the order written. Errors: not a number, an empty part, a range that
// runs backwards, a number twice, beyond what the kernel can name (1023).
Result<std::vector<int>> parse_cpus(std::string_view text);

// The processors this process may use (its affinity, thus also its cpuset), ascending.
std::vector<int> available_cpus();

// Fails with the name of the first of `cpus` that this process may not use.
Status check_cpus(const std::vector<int>& cpus);

// What `shards = "auto"` means: one per available processor, at least 1, at most kShardsMax.
uint32_t automatic_shards();

// Keeps the calling thread on one processor from now on.
Status pin_this_thread(int cpu);

// What top and perf show; longer names are cut to the kernel's 15 octets.
void name_this_thread(const std::string& name);

}  // namespace ringmta::shard
