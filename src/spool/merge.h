// SPDX-License-Identifier: GPL-3.0-or-later
// From what the segments say one by one to what lives.
//
// The insight: a message lives in the newest of its copies, unless any note says that it is gone,
// or a checkpoint of its segment does not list it. All of that is sorting by id: no order between
// segments has to be kept, and any number of logs written by any number of shards can be merged.
#pragma once

#include <vector>

#include "recovered.h"
#include "scan.h"

namespace ringmta::spool {

// Fills into.segments (one for each of `scans`, in their order), their ties, and the counts in
// into.result. The messages in `scans` are used up.
void merge(std::vector<Scan>& scans, RecoveryResult& into);

// Gives each segment a shard.
void assign_shards(const std::vector<Scan>& scans, RecoveryResult& into);

}  // namespace ringmta::spool
