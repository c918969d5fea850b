// SPDX-License-Identifier: GPL-3.0-or-later
// CRC32C by instruction against the table, at any alignment, and chained at any place.
#include <span>
#include <string>

#include "input.h"
#include "ringmta/base/assert.h"
#include "ringmta/base/crc32c.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringmta;
  fuzz::Input input(data, size);
  const uint8_t shift = input.byte() % 16U;
  const uint8_t times = 1 + input.byte() % 64U;  // so that the long loops are reached
  uint32_t seed = 0;
  for (int i = 0; i < 4; ++i) seed = seed << 8 | input.byte();
  std::string text;
  for (uint8_t i = 0; i < times; ++i) text += input.rest();
  const std::string memory = std::string(shift, '\0') + text;
  const Bytes whole = std::as_bytes(std::span(memory)).subspan(shift);
  const uint32_t plain = crc32c_portable(whole, seed);
  RINGMTA_ASSERT(crc32c(whole, seed) == plain);
  const size_t steps = whole.size() < 64 ? 1 : whole.size() / 64;
  for (size_t cut = 0; cut <= whole.size(); cut += steps) {
    RINGMTA_ASSERT(crc32c(whole.subspan(cut), crc32c(whole.first(cut), seed)) == plain);
  }
  return 0;
}
