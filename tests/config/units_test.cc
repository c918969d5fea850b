// SPDX-License-Identifier: GPL-3.0-or-later
// Durations and sizes: what is read, what is refused, and that what is written is read back.
#include "ringmta/config/units.h"

#include <gtest/gtest.h>

#include "ringmta/base/prng.h"

namespace ringmta::config {
namespace {

TEST(Durations, AreReadWithTheirUnits) {
  const std::pair<const char*, int64_t> cases[] = {{"250ms", 250},
                                                   {"10s", 10'000},
                                                   {"5m", 300'000},
                                                   {"4h", 14'400'000},
                                                   {"3d", 259'200'000},
                                                   {"1h30m", 5'400'000},
                                                   {"1d2h3m4s5ms", 93'784'005},
                                                   {"0s", 0},
                                                   {"0", 0}};
  for (const auto& [text, milliseconds] : cases) {
    const auto parsed = parse_duration(text);
    ASSERT_TRUE(parsed.has_value()) << text;
    EXPECT_EQ(parsed->count, milliseconds) << text;
  }
}

TEST(Durations, WithoutUnitOrSenseAreRefused) {
  for (const char* text : {"", "10", "s", "10 s", "10s ", "-1s", "1.5h", "10min", "10S", "5m1h",
                           "1h1h", "soon", "99999999999999999999s", "200000000d"}) {
    EXPECT_FALSE(parse_duration(text).has_value()) << text;
  }
}

TEST(Durations, RefusalSaysWhatToWrite) {
  EXPECT_EQ(parse_duration("soon").error().message,
            "\"soon\" is not a duration: write whole numbers with ms, s, m (minutes), h or d, such "
            "as \"10s\" or \"1h30m\"");
}

TEST(Durations, WrittenIsReadBack) {
  Prng dice(7);
  for (int i = 0; i < 20'000; ++i) {
    const Milliseconds duration{static_cast<int64_t>(dice.next() >> (21 + i % 43))};
    const auto parsed = parse_duration(format_duration(duration));
    ASSERT_TRUE(parsed.has_value()) << format_duration(duration);
    EXPECT_EQ(*parsed, duration);
  }
  EXPECT_EQ(format_duration(hours(72)), "3d");
  EXPECT_EQ(format_duration(seconds(90)), "1m30s");
}

TEST(Sizes, AreReadWithTheirUnits) {
  const std::pair<const char*, uint64_t> cases[] = {
      {"64MiB", 67'108'864},      {"50MB", 50'000'000},
      {"1GiB", 1ULL << 30},       {"2TiB", 2ULL << 40},
      {"16KiB", 16'384},          {"16kB", 16'000},
      {"16KB", 16'000},           {"512B", 512},
      {"64 MiB", 67'108'864},     {"0", 0},
      {"3TB", 3'000'000'000'000}, {"1GB", 1'000'000'000}};
  for (const auto& [text, octets] : cases) {
    const auto parsed = parse_size(text);
    ASSERT_TRUE(parsed.has_value()) << text;
    EXPECT_EQ(*parsed, octets) << text;
  }
}

TEST(Sizes, WithoutUnitOrSenseAreRefused) {
  for (const char* text : {"", "64", "MiB", "64mib", "-1MiB", "1.5GiB", "1GiB1MiB", "64MiB ",
                           "much", "99999999TiB", "99999999999999999999B"}) {
    EXPECT_FALSE(parse_size(text).has_value()) << text;
  }
}

TEST(Sizes, AUnitWithTwoMeaningsIsAskedAbout) {
  EXPECT_EQ(parse_size("64M").error().message,
            "\"64M\" may mean two things: write \"64MiB\" (units of 1024) or \"64MB\" (units of "
            "1000)");
  EXPECT_EQ(
      parse_size("8k").error().message,
      "\"8k\" may mean two things: write \"8KiB\" (units of 1024) or \"8kB\" (units of 1000)");
}

TEST(Sizes, WrittenIsReadBackAndShort) {
  Prng dice(8);
  for (int i = 0; i < 20'000; ++i) {
    const uint64_t octets = dice.next() >> (1 + i % 63);
    const auto parsed = parse_size(format_size(octets));
    ASSERT_TRUE(parsed.has_value()) << format_size(octets);
    EXPECT_EQ(*parsed, octets);
  }
  EXPECT_EQ(format_size(52'428'800), "50MiB");
  EXPECT_EQ(format_size(512'000'000), "512MB");
  EXPECT_EQ(format_size(1), "1B");
}

}  // namespace
}  // namespace ringmta::config
