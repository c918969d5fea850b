// SPDX-License-Identifier: GPL-3.0-or-later
// The content scanner's comparisons with AVX2: two loads of 32 octets a block. Only functions
// marked with the target use the instructions, so the file is safe to link everywhere (inline
// functions of the library compiled for AVX2 could be the copy that all others get).

#include "scan_kernel.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define RINGMTA_AVX2 __attribute__((target("avx2")))

namespace ringmta::smtp {
namespace {

RINGMTA_AVX2 inline __m256i load_half(const char* at) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
}

RINGMTA_AVX2 inline uint64_t bits(__m256i low, __m256i high) {
  return static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_epi8(low))) |
         static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_epi8(high))) << 32;
}

RINGMTA_AVX2 inline uint64_t equal(__m256i low, __m256i high, char octet) {
  const __m256i wanted = _mm256_set1_epi8(octet);
  return bits(_mm256_cmpeq_epi8(low, wanted), _mm256_cmpeq_epi8(high, wanted));
}

RINGMTA_AVX2 void block(const char* at, ScanMasks& masks) {
  const __m256i low = load_half(at), high = load_half(at + 32);
  masks.lf = equal(low, high, '\n');
  masks.cr = equal(low, high, '\r');
  masks.nul = equal(low, high, '\0');
  masks.dot = equal(low, high, '.');
  masks.high = bits(low, high);
}

RINGMTA_AVX2 void partial(const char* at, size_t length, ScanMasks& masks) {
  char copy[kScanBlock];
  __builtin_memset(copy, 'x', sizeof copy);
  __builtin_memcpy(copy, at, length);
  block(copy, masks);
}

RINGMTA_AVX2 const char* skim(const char* at, const char* end, SkimState& state) {
  uint64_t carry_cr = state.cr, carry_line_start = state.line_start;
  __m256i seen = _mm256_setzero_si256();
  while (static_cast<size_t>(end - at) >= kScanBlock) {
    const __m256i low = load_half(at), high = load_half(at + 32);
    const uint64_t lf = equal(low, high, '\n');
    const uint64_t cr = equal(low, high, '\r');
    const uint64_t after_cr = cr << 1 | carry_cr;
    const uint64_t line_start = lf << 1 | carry_line_start;
    const uint64_t nul = equal(low, high, '\0');
    const uint64_t dot = equal(low, high, '.');
    if (((after_cr ^ lf) | nul | (dot & line_start)) != 0) break;
    seen = _mm256_or_si256(seen, _mm256_or_si256(low, high));
    carry_cr = cr >> 63;
    carry_line_start = lf >> 63;
    at += kScanBlock;
  }
  state.cr = carry_cr;
  state.line_start = carry_line_start;
  state.high |= static_cast<uint32_t>(_mm256_movemask_epi8(seen));
  return at;
}

}  // namespace

const ScanKernelFunctions kScanAvx2{block, partial, skim};

}  // namespace ringmta::smtp

#endif
