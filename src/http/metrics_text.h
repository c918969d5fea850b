// SPDX-License-Identifier: GPL-3.0-or-later
// Snapshots in the text format of Prometheus.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ringmta/http/snapshot.h"

namespace ringmta::http {

std::string metrics_text(const std::vector<ShardSnapshot>& snapshots, std::string_view version);

}  // namespace ringmta::http
