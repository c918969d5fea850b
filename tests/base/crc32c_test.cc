// SPDX-License-Identifier: GPL-3.0-or-later
// The fast CRC32C against the plain one, and the plain one against published values.
#include "ringmta/base/crc32c.h"

#include <gtest/gtest.h>

#include <vector>

#include "ringmta/base/prng.h"

namespace ringmta {
namespace {

std::vector<std::byte> random_octets(size_t count, uint64_t seed) {
  Prng prng(seed);
  std::vector<std::byte> octets(count);
  for (std::byte& octet : octets) octet = static_cast<std::byte>(prng.next());
  return octets;
}

// RFC 3720 B.4 gives these as octets on the wire, least significant first.
TEST(Crc32c, KnowsThePublishedValues) {
  const std::vector<std::byte> zeros(32, std::byte{0});
  const std::vector<std::byte> ones(32, std::byte{0xFF});
  std::vector<std::byte> rising(32);
  for (size_t i = 0; i < rising.size(); ++i) rising[i] = static_cast<std::byte>(i);
  for (const auto& sum : {crc32c, crc32c_portable}) {
    EXPECT_EQ(sum(zeros, 0), 0x8A9136AAU);
    EXPECT_EQ(sum(ones, 0), 0x62A8AB43U);
    EXPECT_EQ(sum(rising, 0), 0x46DD794EU);
    EXPECT_EQ(sum(as_bytes("123456789"), 0), 0xE3069283U);
    EXPECT_EQ(sum({}, 0), 0U);
  }
}

TEST(Crc32c, AgreesAtEveryShortLengthAndAlignment) {
  const std::vector<std::byte> octets = random_octets(300 + 64, 1);
  for (size_t start = 0; start < 64; ++start) {
    for (size_t length = 0; length <= 300; ++length) {
      const Bytes part{octets.data() + start, length};
      ASSERT_EQ(crc32c(part), crc32c_portable(part)) << start << " " << length;
    }
  }
}

TEST(Crc32c, AgreesAroundTheBlockOfThreeLanes) {
  const std::vector<std::byte> octets = random_octets(4 * 1536, 2);
  for (size_t block = 1; block <= 3; ++block) {
    for (size_t length = block * 1536 - 20; length < block * 1536 + 20; ++length) {
      const Bytes part{octets.data() + length % 8, length};
      ASSERT_EQ(crc32c(part), crc32c_portable(part)) << length;
    }
  }
}

TEST(Crc32c, AgreesOnLongRandomInputs) {
  Prng prng(3);
  const std::vector<std::byte> octets = random_octets(1 << 20, 4);
  for (int round = 0; round < 20; ++round) {
    const size_t start = prng.below(octets.size());
    const size_t length = prng.below(octets.size() - start);
    const Bytes part{octets.data() + start, length};
    ASSERT_EQ(crc32c(part), crc32c_portable(part)) << start << " " << length;
  }
}

TEST(Crc32c, ChainsThroughTheSeed) {
  const std::vector<std::byte> octets = random_octets(10'000, 5);
  const Bytes whole = octets;
  for (const size_t cut : {size_t{0}, size_t{1}, size_t{7}, size_t{1536}, size_t{9'999}}) {
    EXPECT_EQ(crc32c(whole.subspan(cut), crc32c(whole.first(cut))), crc32c(whole)) << cut;
  }
}

TEST(Crc32c, ChangesWithEveryBit) {
  std::vector<std::byte> octets = random_octets(200, 6);
  const uint32_t before = crc32c(octets);
  for (size_t bit = 0; bit < octets.size() * 8; ++bit) {
    const auto mask = static_cast<std::byte>(1U << (bit % 8));
    octets[bit / 8] ^= mask;
    ASSERT_NE(crc32c(octets), before) << bit;
    octets[bit / 8] ^= mask;
  }
}

}  // namespace
}  // namespace ringmta
