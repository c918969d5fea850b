// SPDX-License-Identifier: GPL-3.0-or-later
// Every number of a ShardSnapshot, described once: for the scrape, for `status` and for the
// reference (docs/metrics.md, which a test compares with this table).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "ringmta/http/snapshot.h"

namespace ringmta::http {

enum class FieldKind : uint8_t {
  counter,       // since start; the metric's name ends in _total
  gauge,         // now
  microseconds,  // a counter; seconds in the metric
  milliseconds,  // a gauge, a time since 1970; seconds in the metric
};

struct Field {
  std::string_view group, name;  // in JSON: snapshot[group][name]
  std::string_view metric;       // for Prometheus
  FieldKind kind;
  std::string_view help;
  uint64_t (*value)(const ShardSnapshot& snapshot);
};

std::span<const Field> fields();

}  // namespace ringmta::http
