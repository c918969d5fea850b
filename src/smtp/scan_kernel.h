// SPDX-License-Identifier: GPL-3.0-or-later
// What a processor's instructions do for the content scanner: comparing octets, 64 at a time.
// Private to it.
//
// `skim` is the loop the throughput depends on: it runs over whole blocks in which nothing happens.
// It stops, and leaves the block to the scanner, at a bare CR or LF, a NUL, or a dot that begins a
// line.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ringmta::smtp {

inline constexpr size_t kScanBlock = 64;

// Bit i is octet i of the block.
struct ScanMasks {
  uint64_t lf = 0, cr = 0, nul = 0, dot = 0, high = 0;
};

// Bits carried from one block to the next, 0 or 1; `high`: not 0 when an octet above 127 was seen.
struct SkimState {
  uint64_t cr = 0, line_start = 0, high = 0;
};

class ScanKernelFunctions {
 public:
  void (*block)(const char* at, ScanMasks& masks);
  // Fewer than 64 octets; nothing behind them is read, bits of what is not there are 0.
  void (*partial)(const char* at, size_t length, ScanMasks& masks);
  // From `at` over whole blocks before `end`; the first octet not looked at.
  const char* (*skim)(const char* at, const char* end, SkimState& state);
};

extern const ScanKernelFunctions kScanPortable;
#if defined(__x86_64__)
extern const ScanKernelFunctions kScanAvx2;
extern const ScanKernelFunctions kScanAvx512;
#endif

}  // namespace ringmta::smtp
