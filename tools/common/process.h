// SPDX-License-Identifier: GPL-3.0-or-later
// What load and sink both need of the process: counters that one thread writes and another reads,
// CPU time used, files that appear whole.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "ringmta/base/result.h"

namespace ringmta::tools {

// Written by one thread only (so no locked instruction), read by any.
class Counter final {
 public:
  void add(uint64_t amount = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  void raise_to(uint64_t value) {
    if (value > get()) value_.store(value, std::memory_order_relaxed);
  }
  void set(uint64_t value) { value_.store(value, std::memory_order_relaxed); }
  uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct CpuTimes {
  double user_s = 0;
  double system_s = 0;
};
CpuTimes process_cpu_times();

uint64_t
monotonic_ns();  // the clock itself, for latencies; Io::now() is as of the start of the turn

// Writes beside `path` and renames, so that a reader never sees half of it.
Status write_whole_file(const std::string& path, std::string_view content);
Result<std::string> read_whole_file(const std::string& path);

// As many sockets as the hard limit allows; the number, or what the limit is when it cannot be had.
uint64_t raise_open_files_limit();

}  // namespace ringmta::tools
