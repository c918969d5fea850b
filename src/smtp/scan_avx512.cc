// SPDX-License-Identifier: GPL-3.0-or-later
// The content scanner's comparisons with AVX-512BW: a block is one register, a comparison gives its
// 64 bits at once, and a part of a block is a masked load that touches nothing behind it.

#include "scan_kernel.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define RINGMTA_AVX512 __attribute__((target("avx512f,avx512bw")))

namespace ringmta::smtp {
namespace {

RINGMTA_AVX512 inline uint64_t equal(__m512i octets, char octet) {
  return _mm512_cmpeq_epi8_mask(octets, _mm512_set1_epi8(octet));
}

RINGMTA_AVX512 inline void compare(__m512i octets, ScanMasks& masks) {
  masks.lf = equal(octets, '\n');
  masks.cr = equal(octets, '\r');
  masks.nul = _mm512_testn_epi8_mask(octets, octets);
  masks.dot = equal(octets, '.');
  masks.high = _mm512_movepi8_mask(octets);
}

RINGMTA_AVX512 void block(const char* at, ScanMasks& masks) {
  compare(_mm512_loadu_si512(at), masks);
}

RINGMTA_AVX512 void partial(const char* at, size_t length, ScanMasks& masks) {
  const __mmask64 there = (uint64_t{1} << length) - 1;
  compare(_mm512_mask_loadu_epi8(_mm512_set1_epi8('x'), there, at), masks);
}

RINGMTA_AVX512 const char* skim(const char* at, const char* end, SkimState& state) {
  uint64_t carry_cr = state.cr, carry_line_start = state.line_start;
  __m512i seen = _mm512_setzero_si512();
  while (static_cast<size_t>(end - at) >= kScanBlock) {
    const __m512i octets = _mm512_loadu_si512(at);
    const uint64_t lf = equal(octets, '\n');
    const uint64_t cr = equal(octets, '\r');
    const uint64_t nul = _mm512_testn_epi8_mask(octets, octets);
    const uint64_t dot = equal(octets, '.');
    const uint64_t after_cr = cr << 1 | carry_cr;
    const uint64_t line_start = lf << 1 | carry_line_start;
    if (((after_cr ^ lf) | nul | (dot & line_start)) != 0) break;
    seen = _mm512_or_si512(seen, octets);
    carry_cr = cr >> 63;
    carry_line_start = lf >> 63;
    at += kScanBlock;
  }
  state.cr = carry_cr;
  state.line_start = carry_line_start;
  state.high |= _mm512_movepi8_mask(seen);
  return at;
}

}  // namespace

const ScanKernelFunctions kScanAvx512{block, partial, skim};

}  // namespace ringmta::smtp

#endif
