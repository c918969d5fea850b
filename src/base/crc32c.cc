// SPDX-License-Identifier: GPL-3.0-or-later
// CRC32C two ways: the crc32 instruction (latency 3, throughput 1: one dependent chain runs at a
// third of the machine's rate, so long inputs run three chains over thirds of a block and join
// them), and a byte-wise table.
#include "ringmta/base/crc32c.h"

#include <array>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace ringmta {
namespace {

constexpr uint32_t kPolynomial = 0x82F63B78;  // reflected

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    table[i] = crc;
  }
  return table;
}
constexpr auto kTable = make_table();

#if defined(__x86_64__)
// What a CRC becomes when kLane zero octets follow it, as four tables indexed by its octets: this
// joins the lanes.
constexpr size_t kLane = 512;
using ShiftTables = std::array<std::array<uint32_t, 256>, 4>;
constexpr uint32_t shift_lane(uint32_t crc) {
  for (size_t i = 0; i < kLane; ++i) crc = kTable[crc & 0xFF] ^ (crc >> 8);
  return crc;
}
ShiftTables make_shift_tables() {
  ShiftTables tables{};
  for (uint32_t byte = 0; byte < 4; ++byte) {
    for (uint32_t i = 0; i < 256; ++i) tables[byte][i] = shift_lane(i << (8 * byte));
  }
  return tables;
}
const ShiftTables kShift = make_shift_tables();

uint32_t shifted(uint32_t crc) {
  return kShift[0][crc & 0xFF] ^ kShift[1][(crc >> 8) & 0xFF] ^ kShift[2][(crc >> 16) & 0xFF] ^
         kShift[3][crc >> 24];
}

[[gnu::target("sse4.2")]] uint32_t crc32c_sse42(Bytes data, uint32_t seed) {
  uint64_t crc = ~seed;
  const std::byte* p = data.data();
  size_t left = data.size();
  while (left >= 3 * kLane) {
    uint64_t second = 0;
    uint64_t third = 0;
    for (size_t i = 0; i < kLane; i += 8) {
      crc = _mm_crc32_u64(crc, load<uint64_t>(p + i));
      second = _mm_crc32_u64(second, load<uint64_t>(p + kLane + i));
      third = _mm_crc32_u64(third, load<uint64_t>(p + 2 * kLane + i));
    }
    crc = shifted(static_cast<uint32_t>(crc)) ^ second;
    crc = shifted(static_cast<uint32_t>(crc)) ^ third;
    p += 3 * kLane;
    left -= 3 * kLane;
  }
  for (; left >= 8; p += 8, left -= 8) crc = _mm_crc32_u64(crc, load<uint64_t>(p));
  for (; left > 0; ++p, --left)
    crc = _mm_crc32_u8(static_cast<uint32_t>(crc), static_cast<uint8_t>(*p));
  return ~static_cast<uint32_t>(crc);
}
#endif

}  // namespace

uint32_t crc32c_portable(Bytes data, uint32_t seed) {
  uint32_t crc = ~seed;
  for (const std::byte b : data) crc = kTable[(crc ^ static_cast<uint8_t>(b)) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

uint32_t crc32c(Bytes data, uint32_t seed) {
#if defined(__x86_64__)
  static const bool fast = __builtin_cpu_supports("sse4.2") != 0;
  if (fast) return crc32c_sse42(data, seed);
#endif
  return crc32c_portable(data, seed);
}

}  // namespace ringmta
