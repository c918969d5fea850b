// SPDX-License-Identifier: GPL-3.0-or-later
// What an operator sets about delivery events ([events] in the configuration).
//
// The insight: events are a report about mail, never a part of it. So every limit here trades
// completeness of the report against memory, and none of them can slow or stop a message.
#pragma once

#include <cstdint>
#include <string>

#include "ringmta/base/time.h"

namespace ringmta::events {

struct EventOptions {
  std::string file;  // all shards append to it; empty: no events are written
  uint64_t buffer_max = 16ULL * 1024 * 1024;  // octets per shard kept while it cannot be written
  Milliseconds flush_after{20};               // how long a line may wait for company
};

}  // namespace ringmta::events
