// SPDX-License-Identifier: GPL-3.0-or-later
// Segments: made ahead, given back, and what happens when there is no room for them.
#include <cerrno>

#include "directory.h"

namespace ringmta::spool {
namespace {

constexpr StoredHandle kNothing{UINT32_MAX, 0};
constexpr uint64_t kSegment = 262'144;

class Room : public SpoolTest {
 protected:
  void SetUp() override {
    SpoolTest::SetUp();
    options.segment_size = kSegment;
  }
  void begin() {
    keeper = std::make_unique<Keeper>(options);
    ASSERT_TRUE(keeper->start()) << keeper->error;
  }
  const SpoolCounters& counters() { return keeper->spool->counters(); }
  void segments_at_hand() {
    ASSERT_TRUE(
        keeper->drive([&] { return counters().segments_free == options.segments_ready + 1; }));
  }
  // Until the spool refuses; what was kept.
  std::vector<StoredHandle> fill() {
    std::vector<StoredHandle> kept;
    while (keeper->spool->accepting() && kept.size() < 20'000) {
      const StoredHandle stored = keeper->keep({.number = ++last_number, .octets = 8'000});
      if (stored == kNothing) break;
      kept.push_back(stored);
    }
    EXPECT_FALSE(keeper->spool->accepting());
    return kept;
  }
  void restart(sim::Crash kind) {
    ring::Io* dead[] = {keeper->io.get()};
    world->crash(dead, kind);
    keeper->stop();
    keeper->done.clear();
    ASSERT_TRUE(keeper->start()) << keeper->error;
  }

  std::unique_ptr<Keeper> keeper;
  uint64_t last_number = 0;  // of what fill() kept
};

TEST_F(Room, IsMadeAhead) {
  begin();
  EXPECT_TRUE(keeper->spool->accepting());
  segments_at_hand();
  EXPECT_EQ(counters().segments, options.segments_ready + 1);
  EXPECT_EQ(counters().disk_octets, (options.segments_ready + 1) * kSegment);
  EXPECT_EQ(world->disk_octets_used(), counters().disk_octets);
}

TEST_F(Room, TakesMailBeforeAnyIsPrepared) {
  world->disk().latency_us_min = world->disk().latency_us_max = 1'000;
  begin();
  ASSERT_NE(keeper->keep({.number = 1}), kNothing);
  EXPECT_EQ(counters().segments, 1U);
}

TEST_F(Room, EndsWithTheDiskAndComesBackWithIt) {
  world->disk().capacity_octets = 8 * kSegment + 100'000;
  begin();
  const std::vector<StoredHandle> kept = fill();
  EXPECT_GT(kept.size(), 5 * kSegment / 9'000);
  EXPECT_EQ(keeper->store({.number = 99'999}), kNothing);
  EXPECT_FALSE(counters().accepting);
  // Outcomes still go to the disk.
  std::map<uint64_t, uint16_t> attempts;
  for (uint16_t attempt = 1; attempt <= 40; ++attempt) {
    for (const StoredHandle message : kept) {
      const RecipientState state{0, Fate::pending, false, attempt, {1'800'000'000'000}};
      keeper->spool->record_states(message, {&state, 1});
      attempts[keeper->spool->id(message).value] = attempt;
    }
    ASSERT_TRUE(keeper->settle());
  }
  EXPECT_FALSE(keeper->spool->accepting());
  restart(sim::Crash::power);
  ASSERT_EQ(keeper->found.size(), kept.size());
  for (const auto& [id, found] : keeper->found) {
    ASSERT_EQ(found.states.size(), 1U);
    EXPECT_EQ(found.states[0].attempts, attempts[id]);
  }
  EXPECT_FALSE(keeper->spool->accepting());
  world->disk().capacity_octets = 1ULL << 40;
  ASSERT_TRUE(keeper->drive([&] { return keeper->spool->accepting(); }, seconds(5)));
  EXPECT_NE(keeper->keep({.number = 88'888}), kNothing);
}

TEST_F(Room, ComesBackWhenMailIsDelivered) {
  world->disk().capacity_octets = 8 * kSegment + 100'000;
  begin();
  const std::vector<StoredHandle> kept = fill();
  for (const StoredHandle message : kept) keeper->spool->finish(message);
  ASSERT_TRUE(keeper->drive([&] { return keeper->spool->accepting(); }));
  EXPECT_NE(keeper->keep({.number = 88'888}), kNothing);
  EXPECT_TRUE(keeper->drive([&] { return counters().recycled_segments > 4; }));
}

// On a full disk whose segments are freed as fast as they fill, the log is not filled too.
TEST_F(Room, ThatComesAndGoesIsToldOnceAMinute) {
  world->disk().capacity_octets = 8 * kSegment + 100'000;
  begin();
  const auto words = [&](int times) {
    ::testing::internal::CaptureStderr();
    for (int i = 0; i < times; ++i) {
      for (const StoredHandle message : fill()) keeper->spool->finish(message);
      EXPECT_TRUE(keeper->drive([&] { return keeper->spool->accepting(); }));
    }
    return ::testing::internal::GetCapturedStderr();
  };
  const auto count = [](const std::string& text, std::string_view what) {
    size_t found = 0;
    for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++found;
    return found;
  };
  const std::string first = words(10);
  EXPECT_EQ(count(first, "no new segment can be made"), 1U) << first;
  EXPECT_LE(count(first, "there is room again"), 1U) << first;
  keeper->drive([] { return false; }, minutes(2));
  EXPECT_EQ(count(words(10), "no new segment can be made"), 1U);
}

// Even where half of everything lives.
TEST_F(Room, IsFoundByMovingMuchOnAFullDisk) {
  world->disk().capacity_octets = 12 * kSegment + 100'000;
  begin();
  const std::vector<StoredHandle> kept = fill();
  for (size_t i = 0; i < kept.size(); i += 2) keeper->spool->finish(kept[i]);
  ASSERT_TRUE(keeper->drive([&] { return keeper->spool->accepting(); }));
  restart(sim::Crash::power);
  EXPECT_EQ(keeper->found.size(), kept.size() / 2);
}

TEST_F(Room, IsFoundByCompactionOnAFullDisk) {
  world->disk().capacity_octets = 8 * kSegment + 100'000;
  begin();
  const std::vector<StoredHandle> kept = fill();
  for (size_t i = 0; i < kept.size(); ++i) {
    if (i % 10 != 0) keeper->spool->finish(kept[i]);
  }
  ASSERT_TRUE(keeper->drive([&] { return keeper->spool->accepting(); }));
  EXPECT_GT(counters().compacted_messages, 0U);
  EXPECT_NE(keeper->keep({.number = 88'888}), kNothing);
  restart(sim::Crash::power);
  EXPECT_EQ(keeper->found.size(), (kept.size() + 9) / 10 + 1);
}

TEST_F(Room, StaysWithinItsLimit) {
  options.disk_max = 6 * kSegment;
  begin();
  const std::vector<StoredHandle> kept = fill();
  EXPECT_GT(kept.size(), 3 * kSegment / 9'000);
  EXPECT_LE(counters().disk_octets, options.disk_max);
  EXPECT_LE(world->disk_octets_used(), options.disk_max);
  for (const StoredHandle message : kept) keeper->spool->finish(message);
  ASSERT_TRUE(keeper->drive([&] { return keeper->spool->accepting(); }));
}

TEST_F(Room, LeavesTheReserveFree) {
  options.disk_reserve = 1'000'000;
  world->disk().capacity_octets = 8 * kSegment + options.disk_reserve;
  begin();
  fill();
  EXPECT_GE(*ring::disk::free_bytes(directory), options.disk_reserve);
  EXPECT_GT(counters().segments, 6U);
}

TEST_F(Room, IsGivenBackWhenALoadIsOver) {
  begin();
  std::vector<StoredHandle> kept;
  for (uint64_t i = 0; i < 700; ++i) kept.push_back(keeper->keep({.number = i, .octets = 8'000}));
  const uint64_t most = counters().disk_octets;
  EXPECT_GT(most, 15 * kSegment);
  for (const StoredHandle message : kept) keeper->spool->finish(message);
  ASSERT_TRUE(keeper->drive([&] { return counters().disk_octets < most / 2; }, seconds(60)));
  ASSERT_TRUE(keeper->drive([&] { return counters().segments_free <= 8; }, seconds(60)));
  EXPECT_LT(world->disk_octets_used(), most / 2 + 100 * 4096);
  EXPECT_NE(keeper->keep({.number = 9'999}), kNothing);
  // The names that are left without contents are no riddle to a restart, and are used again.
  keeper->stop();
  ASSERT_TRUE(keeper->start());
  EXPECT_TRUE(keeper->recovery->report().findings.empty());
  EXPECT_EQ(keeper->found.size(), 1U);
  const size_t names = ring::disk::list(directory)->size();
  for (uint64_t i = 0; i < 500; ++i) keeper->keep({.number = i, .octets = 8'000});
  EXPECT_EQ(ring::disk::list(directory)->size(), names);
}

TEST_F(Room, IsMadeAgainAfterAFault) {
  world->inject({.operation = sim::DiskOperation::allocate, .nth = 2, .error = EIO});
  world->inject({.operation = sim::DiskOperation::sync, .nth = 3, .error = EIO});
  begin();
  segments_at_hand();
  EXPECT_NE(keeper->keep({.number = 1}), kNothing);
  keeper->stop();
  ASSERT_TRUE(keeper->start());
  EXPECT_TRUE(keeper->recovery->report().findings.empty());
}

// Not even when nothing is left of those who had them, and the clock was set back.
TEST_F(Room, UsedAgainGivesNoIdTwice) {
  begin();
  uint64_t highest = 0;
  const auto keep_and_finish = [&](uint64_t messages) {
    for (uint64_t i = 0; i < messages; ++i) {
      const StoredHandle stored = keeper->keep({.number = ++last_number, .octets = 8'000});
      ASSERT_NE(stored, kNothing);
      highest = std::max(highest, keeper->spool->id(stored).value);
      keeper->spool->finish(stored);
    }
    ASSERT_TRUE(keeper->settle());
  };
  keep_and_finish(1'000);
  EXPECT_GT(counters().recycled_segments, 10U);
  world->step_wall_clock(Milliseconds{-hours(24).count});
  for (const sim::Crash kind : {sim::Crash::process, sim::Crash::power}) {
    restart(kind);
    EXPECT_TRUE(keeper->found.empty());
    EXPECT_GT(keeper->spool->next_id().value, highest);
    keep_and_finish(10);
  }
}

TEST_F(Room, ThatCannotBeMadeForWantOfRightsIsAnError) {
  options.directory = "/spool/file/below";
  ASSERT_TRUE(ring::disk::write("/spool/file", as_bytes("x")));
  keeper = std::make_unique<Keeper>(options);
  EXPECT_FALSE(keeper->start());
  EXPECT_NE(keeper->error.find("/spool/file"), std::string::npos) << keeper->error;
}

TEST_F(Room, OfAnImpossibleSizeIsRefused) {
  options.segment_size = 1000;
  keeper = std::make_unique<Keeper>(options);
  EXPECT_FALSE(keeper->start());
  EXPECT_NE(keeper->error.find("segment size"), std::string::npos) << keeper->error;
}

TEST_F(Room, OfAnotherSizeFollowsTheSetting) {
  begin();
  segments_at_hand();
  const StoredHandle first = keeper->keep({.number = 1});
  const uint64_t id = keeper->spool->id(first).value;
  keeper->stop();
  options.segment_size = 2 * kSegment;
  begin();
  ASSERT_TRUE(keeper->found.contains(id));
  ASSERT_NE(keeper->keep({.number = 2, .octets = 16'000}), kNothing);
  ASSERT_NE(keeper->keep({.number = 3, .octets = 300'000}), kNothing);
  keeper->spool->finish(keeper->found[id].handle);
  // The old ones go, one after the other.
  ASSERT_TRUE(keeper->drive(
      [&] { return counters().disk_octets == counters().segments * options.segment_size; },
      seconds(30)));
}

}  // namespace
}  // namespace ringmta::spool
