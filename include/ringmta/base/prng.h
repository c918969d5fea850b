// SPDX-License-Identifier: GPL-3.0-or-later
// xoshiro256** (Blackman and Vigna, 2018): for jitter, choice among equals and generated test mail;
// never for secrets. Seeded once per shard, so that a simulated run repeats exactly.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace ringmta {

class Prng final {
 public:
  explicit Prng(uint64_t seed) {
    for (uint64_t& word : state_) {  // splitmix64, as its authors advise for seeding
      seed += 0x9E3779B97F4A7C15ULL;
      uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
      z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
      word = z ^ (z >> 31);
    }
  }
  uint64_t next() {
    const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }
  // Uniform in [0, bound), bound > 0 (multiply-shift; the bias of 2^-64 * bound does not matter
  // here).
  uint64_t below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<Wide>(next()) * bound) >> 64);
  }

 private:
  __extension__ using Wide = unsigned __int128;
  std::array<uint64_t, 4> state_{};
};

}  // namespace ringmta
