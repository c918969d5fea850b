// SPDX-License-Identifier: GPL-3.0-or-later
// SipHash (Aumasson and Bernstein, 2012), a hash with a key: who does not know the key cannot make
// up names that all fall into one bucket of a table. 1-3 rounds are enough for tables (the authors'
// own advice for them); 2-4 are what the published vectors are for.
#pragma once

#include <bit>
#include <cstdint>

#include "ringmta/base/bytes.h"

namespace ringmta::dns {

struct HashKey {
  uint64_t first = 0;
  uint64_t second = 0;
};

template <int CompressionRounds = 1, int FinalRounds = 3>
uint64_t siphash(const HashKey& key, Bytes data, uint64_t tail = 0) {
  uint64_t v0 = key.first ^ 0x736f6d6570736575ULL;
  uint64_t v1 = key.second ^ 0x646f72616e646f6dULL;
  uint64_t v2 = key.first ^ 0x6c7967656e657261ULL;
  uint64_t v3 = key.second ^ 0x7465646279746573ULL;
  const auto rounds = [&](int count) {
    for (int i = 0; i < count; ++i) {
      v0 += v1;
      v2 += v3;
      v1 = std::rotl(v1, 13) ^ v0;
      v3 = std::rotl(v3, 16) ^ v2;
      v0 = std::rotl(v0, 32);
      v2 += v1;
      v0 += v3;
      v1 = std::rotl(v1, 17) ^ v2;
      v3 = std::rotl(v3, 21) ^ v0;
      v2 = std::rotl(v2, 32);
    }
  };
  const auto take = [&](uint64_t word) {
    v3 ^= word;
    rounds(CompressionRounds);
    v0 ^= word;
  };
  size_t at = 0;
  for (; at + 8 <= data.size(); at += 8) take(load<uint64_t>(data.data() + at));
  uint64_t last = static_cast<uint64_t>(data.size()) << 56;
  for (size_t i = 0; at + i < data.size(); ++i) {
    last |= static_cast<uint64_t>(data[at + i]) << (8 * i);
  }
  take(last);
  if (tail != 0) take(tail);  // something small that belongs to the key: a record type
  v2 ^= 0xFF;
  rounds(FinalRounds);
  return v0 ^ v1 ^ v2 ^ v3;
}

}  // namespace ringmta::dns
