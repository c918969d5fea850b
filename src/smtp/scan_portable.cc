// SPDX-License-Identifier: GPL-3.0-or-later
// The content scanner's comparisons with nothing but 64-bit arithmetic, for processors without the
// instructions of the other two files.
//
// Eight octets are compared in one word: (x & 0x7F..) + 0x7F.. sets the top bit of each octet
// unless its lower seven bits are zero, and no carry leaves an octet, so the result is exact
// (Warren, "Hacker's Delight", 6-1). A multiplication gathers the eight top bits.

#include <bit>
#include <cstring>

#include "scan_kernel.h"

namespace ringmta::smtp {
namespace {

constexpr uint64_t kLow = 0x7F7F7F7F7F7F7F7FULL;
constexpr uint64_t kTop = 0x8080808080808080ULL;

constexpr uint64_t each(char octet) {
  return 0x0101010101010101ULL * static_cast<uint64_t>(static_cast<unsigned char>(octet));
}

uint64_t load_word(const char* at) {
  uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  return word;
}

// The top bit of each octet, as eight bits.
uint64_t gather(uint64_t tops) { return (tops >> 7) * 0x0102040810204080ULL >> 56; }

uint64_t zero_octets(uint64_t word) { return ~(((word & kLow) + kLow) | word | kLow) & kTop; }

void block(const char* at, ScanMasks& masks) {
  masks = {};
  for (unsigned i = 0; i < kScanBlock / 8; ++i) {
    const uint64_t word = load_word(at + 8 * i);
    masks.lf |= gather(zero_octets(word ^ each('\n'))) << (8 * i);
    masks.cr |= gather(zero_octets(word ^ each('\r'))) << (8 * i);
    masks.nul |= gather(zero_octets(word)) << (8 * i);
    masks.dot |= gather(zero_octets(word ^ each('.'))) << (8 * i);
    masks.high |= gather(word & kTop) << (8 * i);
  }
}

void partial(const char* at, size_t length, ScanMasks& masks) {
  char copy[kScanBlock];
  std::memset(copy, 'x', sizeof copy);
  std::memcpy(copy, at, length);
  block(copy, masks);
}

// Not 0 when some octet is below 14, as CR, LF and NUL are; most words of a text have none.
uint64_t has_low_octet(uint64_t word) { return (word - each(14)) & ~word & kTop; }

const char* skim(const char* at, const char* end, SkimState& state) {
  for (; static_cast<size_t>(end - at) >= kScanBlock; at += kScanBlock) {
    uint64_t lf = 0, cr = 0, nul = 0, seen = 0;
    for (unsigned i = 0; i < kScanBlock / 8; ++i) {
      const uint64_t word = load_word(at + 8 * i);
      seen |= word;
      if (has_low_octet(word) == 0) continue;
      lf |= gather(zero_octets(word ^ each('\n'))) << (8 * i);
      cr |= gather(zero_octets(word ^ each('\r'))) << (8 * i);
      nul |= gather(zero_octets(word)) << (8 * i);
    }
    const uint64_t after_cr = cr << 1 | state.cr;
    if (((after_cr ^ lf) | nul) != 0) return at;
    for (uint64_t starts = lf << 1 | state.line_start; starts != 0; starts &= starts - 1) {
      if (at[std::countr_zero(starts)] == '.') return at;
    }
    state.high |= seen & kTop;
    state.cr = cr >> 63;
    state.line_start = lf >> 63;
  }
  return at;
}

}  // namespace

const ScanKernelFunctions kScanPortable{block, partial, skim};

}  // namespace ringmta::smtp
