// SPDX-License-Identifier: GPL-3.0-or-later
// What a reader of a SnapshotCell sees: nothing, or something whole and never older than before.
#include "ringmta/http/snapshot.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace ringmta::http {
namespace {

TEST(SnapshotCell, IsEmptyUntilPublished) {
  const SnapshotCell<ShardSnapshot> cell;
  ShardSnapshot snapshot;
  snapshot.shard = 7;
  EXPECT_FALSE(cell.read(snapshot));
  EXPECT_EQ(snapshot.shard, 7u);
}

TEST(SnapshotCell, GivesWhatWasPublishedLast) {
  SnapshotCell<ShardSnapshot> cell;
  ShardSnapshot snapshot;
  snapshot.server.messages = 1;
  cell.publish(snapshot);
  snapshot.server.messages = 2;
  snapshot.stats_time_ms = 3;
  snapshot.spool.accepting = false;
  cell.publish(snapshot);
  ShardSnapshot seen;
  ASSERT_TRUE(cell.read(seen));
  EXPECT_EQ(seen.server.messages, 2u);
  EXPECT_EQ(seen.stats_time_ms, 3u);
  EXPECT_FALSE(seen.spool.accepting);
}

TEST(SnapshotCell, TakesWhatIsNoMultipleOfAWord) {
  struct Odd {
    char text[13];
  };
  SnapshotCell<Odd> cell;
  cell.publish({"twelve chars"});
  Odd seen{};
  ASSERT_TRUE(cell.read(seen));
  EXPECT_STREQ(seen.text, "twelve chars");
}

TEST(SnapshotCell, ReadersNeverSeeATornValue) {
  struct Wide {
    std::array<uint64_t, 64> words;
  };
  constexpr uint64_t kLast = 100'000;
  SnapshotCell<Wide> cell;
  std::atomic<uint64_t> torn{0}, backwards{0};
  const auto read = [&] {
    Wide seen{};
    uint64_t newest = 0;
    while (newest != kLast) {
      if (!cell.read(seen)) continue;
      for (const uint64_t word : seen.words) torn += word != seen.words[0] ? 1 : 0;
      backwards += seen.words[0] < newest ? 1 : 0;
      newest = seen.words[0];
    }
  };
  {
    std::jthread first(read), second(read);
    Wide value{};
    for (uint64_t number = 1; number <= kLast; ++number) {
      value.words.fill(number);
      cell.publish(value);
    }
  }
  EXPECT_EQ(torn, 0u);
  EXPECT_EQ(backwards, 0u);
}

}  // namespace
}  // namespace ringmta::http
