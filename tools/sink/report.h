// SPDX-License-Identifier: GPL-3.0-or-later
// What the sink has seen, summed over its threads.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tools/common/process.h"
#include "tools/sink/worker.h"

namespace ringmta::tools {

struct SinkReport {
  std::string json;
  std::string text;
  bool clean = true;  // with --verify: nothing corrupt, twice, missing or incomplete
};

uint64_t deliveries_of(const std::vector<std::unique_ptr<SinkWorker>>& workers);

SinkReport make_report(const SinkState& state,
                       const std::vector<std::unique_ptr<SinkWorker>>& workers,
                       const std::vector<SocketAddress>& listeners, const CpuTimes& cpu_at_start);

}  // namespace ringmta::tools
