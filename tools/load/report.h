// SPDX-License-Identifier: GPL-3.0-or-later
// The result of a run, for people and as JSON.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tools/common/histogram.h"
#include "tools/common/process.h"
#include "tools/load/options.h"
#include "tools/load/tally.h"

namespace ringmta::tools {

// All threads together.
struct LoadResult {
  uint64_t messages = 0;
  uint64_t accepted = 0;
  uint64_t rejected = 0;
  uint64_t unknown = 0;
  uint64_t final_250s = 0;
  uint64_t final_250s_booked = 0;
  uint64_t final_250s_empty = 0;
  uint64_t accepted_twice = 0;
  uint64_t recipients_accepted = 0;
  uint64_t recipients_rejected = 0;
  uint64_t recipients_unknown = 0;
  uint64_t octets = 0;
  uint64_t retries = 0;
  uint64_t connections = 0;
  uint64_t connections_lost = 0;
  uint64_t connections_failed = 0;
  uint64_t early_replies = 0;
  uint64_t tls_handshakes = 0;
  uint64_t tls_resumed = 0;
  uint64_t last_accepted_ns = 0;
  double seconds = 0;
  CpuTimes cpu;
  Histogram latency_ns;
  std::array<uint64_t, 1000> codes{};
  std::map<int, std::string> code_texts;
  std::string connect_error;
  std::vector<uint64_t> rejected_indexes;
  std::vector<uint64_t> unknown_indexes;
  std::vector<std::pair<uint64_t, uint64_t>> accepted_ranges;  // first and last, inclusive

  void add(const Tally& tally);
  uint64_t unsent() const { return messages - accepted - rejected - unknown; }
  bool complete() const {
    return accepted == messages && recipients_rejected == 0 && recipients_unknown == 0 &&
           books_balance();
  }
  // Every 250 was counted, and no message twice.
  bool books_balance() const {
    return final_250s == final_250s_booked + final_250s_empty && accepted_twice == 0;
  }
  double rate() const { return seconds > 0 ? static_cast<double>(accepted) / seconds : 0; }
};

std::string summary_text(const LoadResult& result);
std::string summary_json(const LoadResult& result, const LoadOptions& options,
                         const std::string& run);

}  // namespace ringmta::tools
