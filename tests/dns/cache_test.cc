// SPDX-License-Identifier: GPL-3.0-or-later
// The cache: times, bounds, eviction.
#include "ringmta/dns/cache.h"

#include <gtest/gtest.h>

#include <string>

namespace ringmta::dns {
namespace {

constexpr Monotonic kStart{1'000'000'000};

struct Kept {
  explicit Kept(CacheOptions options = {}) : cache(options) {}

  std::optional<Cache::Hit> find(const std::string& name, Monotonic at,
                                 RecordType type = RecordType::mx) {
    const Name key = *Name::parse(name);
    return cache.find(key, type, cache.hash(key, type), at);
  }
  Monotonic store(const std::string& name, Fate fate, Milliseconds ttl, Monotonic at,
                  std::string_view packed = {}, RecordType type = RecordType::mx) {
    RecordSet records;
    records.fate = fate;
    records.type = type;
    records.packed = as_bytes(packed);
    records.count = packed.empty() ? 0 : 1;
    return cache.store(*Name::parse(name), records, ttl, at);
  }
  Cache cache;
};

TEST(DnsCache, GivesBackWhatWasStoredUntilItExpires) {
  Kept kept;
  EXPECT_FALSE(kept.find("example.org", kStart));
  EXPECT_EQ(kept.store("example.org", Fate::found, seconds(300), kStart, "records"),
            kStart + seconds(300));
  const auto hit = kept.find("EXAMPLE.org", kStart + seconds(200));
  ASSERT_TRUE(hit.has_value());
  EXPECT_EQ(as_text(hit->records.packed), "records");
  EXPECT_EQ(hit->records.fate, Fate::found);
  EXPECT_EQ(hit->records.count, 1);
  EXPECT_EQ(hit->records.expires, kStart + seconds(300));
  EXPECT_FALSE(kept.find("example.org", kStart + seconds(200), RecordType::a));
  EXPECT_FALSE(kept.find("example.com", kStart + seconds(200)));
  EXPECT_FALSE(kept.find("example.org", kStart + seconds(300)));
  EXPECT_EQ(kept.cache.counters().hits, 1U);
  EXPECT_EQ(kept.cache.counters().misses, 4U);
  EXPECT_EQ(kept.cache.counters().expired, 1U);
  EXPECT_EQ(kept.cache.counters().entries, 0U);
}

TEST(DnsCache, KeepsTimesWithinFloorAndCeiling) {
  CacheOptions options;
  options.ttl_min = seconds(10);
  options.ttl_max = seconds(100);
  options.negative_ttl_max = seconds(50);
  options.failure_ttl = seconds(7);
  Kept kept(options);
  EXPECT_EQ(kept.store("a", Fate::found, seconds(0), kStart), kStart + seconds(10));
  EXPECT_EQ(kept.store("a", Fate::found, seconds(40), kStart), kStart + seconds(40));
  EXPECT_EQ(kept.store("a", Fate::found, hours(10000), kStart), kStart + seconds(100));
  EXPECT_EQ(kept.store("a", Fate::no_data, seconds(60), kStart), kStart + seconds(50));
  EXPECT_EQ(kept.store("a", Fate::no_such_name, seconds(60), kStart), kStart + seconds(50));
  EXPECT_EQ(kept.store("a", Fate::no_such_name, seconds(1), kStart), kStart + seconds(10));
  EXPECT_EQ(kept.store("a", Fate::failed, seconds(500), kStart), kStart + seconds(7));
}

TEST(DnsCache, NeverKeepsFailuresLongerThanRfc2308Allows) {
  CacheOptions options;
  options.failure_ttl = hours(1);
  EXPECT_EQ(Kept(options).store("a", Fate::failed, {}, kStart), kStart + minutes(5));
}

TEST(DnsCache, CountsNegativeHits) {
  Kept kept;
  kept.store("a", Fate::no_such_name, seconds(60), kStart);
  kept.store("b", Fate::failed, seconds(60), kStart);
  kept.store("c", Fate::found, seconds(60), kStart, "x");
  for (const char* name : {"a", "b", "c"}) EXPECT_TRUE(kept.find(name, kStart).has_value());
  EXPECT_EQ(kept.cache.counters().hits, 3U);
  EXPECT_EQ(kept.cache.counters().negative_hits, 2U);
}

TEST(DnsCache, AsksForRefreshmentOnceInTheLastTenth) {
  Kept kept;
  kept.store("hot", Fate::found, seconds(100), kStart, "x");
  EXPECT_FALSE(kept.find("hot", kStart + seconds(89))->prefetch);
  EXPECT_TRUE(kept.find("hot", kStart + seconds(91))->prefetch);
  EXPECT_FALSE(kept.find("hot", kStart + seconds(92))->prefetch);
  kept.store("hot", Fate::found, seconds(100), kStart + seconds(92), "x");
  EXPECT_TRUE(kept.find("hot", kStart + seconds(185))->prefetch);
  EXPECT_EQ(kept.cache.counters().prefetches, 2U);
}

// That a host has no AAAA, or a domain no MX, is part of what its mail needs.
TEST(DnsCache, AsksForRefreshmentOfWhatIsNotThereButNotOfNamesThatAreNot) {
  Kept kept;
  kept.store("four", Fate::no_data, seconds(100), kStart, {}, RecordType::aaaa);
  EXPECT_FALSE(kept.find("four", kStart + seconds(89), RecordType::aaaa)->prefetch);
  EXPECT_TRUE(kept.find("four", kStart + seconds(91), RecordType::aaaa)->prefetch);
  EXPECT_FALSE(kept.find("four", kStart + seconds(92), RecordType::aaaa)->prefetch);
  CacheOptions options;
  options.failure_ttl = seconds(100);
  Kept others(options);
  others.store("no", Fate::no_such_name, seconds(100), kStart);
  others.store("broken", Fate::failed, {}, kStart);
  EXPECT_FALSE(others.find("no", kStart + seconds(99))->prefetch);
  EXPECT_FALSE(others.find("broken", kStart + seconds(99))->prefetch);
}

TEST(DnsCache, StaysWithinItsMemory) {
  CacheOptions options;
  options.octets_max = 64 * 1024;
  Kept kept(options);
  for (int i = 0; i < 20'000; ++i) {
    kept.store("name" + std::to_string(i) + ".example", Fate::found, seconds(300), kStart,
               std::string(static_cast<size_t>(i % 100), 'x'));
    ASSERT_LE(kept.cache.counters().octets, options.octets_max);
  }
  EXPECT_GT(kept.cache.counters().entries, 200U);
  EXPECT_EQ(kept.cache.counters().insertions - kept.cache.counters().evictions,
            kept.cache.counters().entries);
  EXPECT_TRUE(kept.find("name19999.example", kStart).has_value());
}

TEST(DnsCache, ARunOfStrangersDoesNotDriveOutWhatIsInUse) {
  CacheOptions options;
  options.octets_max = 64 * 1024;
  Kept kept(options);
  const auto regular = [](int i) { return "regular" + std::to_string(i) + ".example"; };
  for (int i = 0; i < 50; ++i) kept.store(regular(i), Fate::found, hours(20), kStart, "x");
  int lost = 0;
  for (int i = 0; i < 20'000; ++i) {
    kept.store("stranger" + std::to_string(i) + ".example", Fate::found, hours(20), kStart, "x");
    if (i % 4 == 0 && !kept.find(regular(i / 4 % 50), kStart)) ++lost;
  }
  EXPECT_EQ(lost, 0);
}

TEST(DnsCache, TakesTheExpiredFirst) {
  CacheOptions options;
  options.octets_max = 16 * 1024;
  options.ttl_min = seconds(1);
  Kept kept(options);
  int count = 0;
  while (kept.cache.counters().evictions == 0) {
    kept.store("a" + std::to_string(count++), Fate::found, seconds(10), kStart, "x");
  }
  for (int i = 0; i < count; ++i) kept.find("a" + std::to_string(i), kStart);  // all in use
  const uint64_t evictions = kept.cache.counters().evictions;
  const Monotonic later = kStart + seconds(11);
  for (int i = 0; i < count / 2; ++i) {
    kept.store("b" + std::to_string(i), Fate::found, seconds(10), later, "x");
  }
  EXPECT_EQ(kept.cache.counters().evictions, evictions);
}

TEST(DnsCache, DoesNotKeepWhatWouldDriveOutEverything) {
  CacheOptions options;
  options.octets_max = 64 * 1024;
  Kept kept(options);
  kept.store("small", Fate::found, seconds(300), kStart, "x");
  kept.store("huge", Fate::found, seconds(300), kStart, std::string(60'000, 'x'));
  EXPECT_FALSE(kept.find("huge", kStart));
  EXPECT_TRUE(kept.find("small", kStart));
}

}  // namespace
}  // namespace ringmta::dns
