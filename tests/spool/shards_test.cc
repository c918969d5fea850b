// SPDX-License-Identifier: GPL-3.0-or-later
// A spool that is opened by other numbers of shards than wrote it: every message is found by
// exactly one of them, whole, and what ties segments of different shards is cut in the end.
#include <thread>

#include "directory.h"

namespace ringmta::spool {
namespace {

class Shards : public SpoolTest {
 protected:
  void SetUp() override {
    SpoolTest::SetUp();
    options.segment_size = 262'144;
  }
  void TearDown() override {
    stop();
    SpoolTest::TearDown();
  }
  void start(uint32_t count, uint32_t threads = 1) {
    Result<std::unique_ptr<Recovery>> recovered = recover(directory, count, threads);
    ASSERT_TRUE(recovered.has_value()) << recovered.error().message;
    recovery = std::move(*recovered);
    for (uint16_t i = 0; i < count; ++i) {
      options.shard = {i};
      keepers.push_back(std::make_unique<Keeper>(options));
      ASSERT_TRUE(keepers.back()->start_with(recovery.get())) << keepers.back()->error;
    }
    std::map<uint64_t, int> times;
    for (const auto& keeper : keepers) {
      for (const auto& [id, found] : keeper->found) {
        ++times[id];
        ASSERT_TRUE(letters.contains(id)) << "it was finished";
        EXPECT_EQ(found.sender, letters[id].sender());
      }
    }
    for (const auto& [id, letter] : letters) EXPECT_EQ(times[id], 1) << letter.number;
    EXPECT_EQ(recovery->report().findings, std::vector<std::string>{});
  }
  void stop() {
    for (const auto& keeper : keepers) {
      EXPECT_TRUE(keeper->spool == nullptr || keeper->settle());
    }
    keepers.clear();
    recovery.reset();
  }
  void turn_all() {
    for (const auto& keeper : keepers) keeper->turn(Milliseconds{5});
  }
  void keep(size_t shard, size_t octets = 3'000) {
    const Letter letter{.number = ++number, .octets = octets};
    const StoredHandle stored = keepers[shard]->keep(letter);
    ASSERT_NE(stored.index, UINT32_MAX);
    letters[keepers[shard]->spool->id(stored).value] = letter;
  }
  // Of those found at the start, every `nth`.
  void finish_found(uint64_t nth) {
    uint64_t n = 0;
    for (const auto& keeper : keepers) {
      for (const auto& [id, found] : keeper->found) {
        if (n++ % nth != 0) continue;
        keeper->spool->finish(found.handle);
        letters.erase(id);
      }
    }
  }

  std::unique_ptr<Recovery> recovery;
  std::vector<std::unique_ptr<Keeper>> keepers;
  std::map<uint64_t, Letter> letters;
  uint64_t number = 0;
};

TEST_F(Shards, FindEverythingWhateverTheirNumber) {
  uint32_t before = 1;
  for (const uint32_t count : {3U, 2U, 5U, 1U, 4U, 4U}) {
    start(count);
    for (size_t i = 0; i < 60; ++i) keep(i % count, 500 + i * 97);
    finish_found(3);
    for (int i = 0; i < 20; ++i) turn_all();
    stop();
    before = count;
  }
  start(before);
}

TEST_F(Shards, ShareTheLoadOfARestart) {
  start(1);
  for (size_t i = 0; i < 400; ++i) keep(0);
  stop();
  start(4);
  for (const auto& keeper : keepers) {
    EXPECT_GT(keeper->found.size(), 60U);
    EXPECT_LT(keeper->found.size(), 140U);
  }
}

TEST_F(Shards, GiveDifferentIds) {
  start(3);
  std::map<uint64_t, int> ids;
  for (int i = 0; i < 1000; ++i) {
    for (const auto& keeper : keepers) ++ids[keeper->spool->next_id().value];
  }
  EXPECT_EQ(ids.size(), 3000U);
}

#ifdef RINGMTA_SIMULATED
// One shard's notes are about segments that another has now: they are given up only when the other
// has written down what lives in them.
TEST_F(Shards, CutTheirTiesToEachOther) {
  start(2);
  for (size_t i = 0; i < 200; ++i) keep(i % 2);
  stop();
  start(1);  // takes both logs over and notes things about either
  std::map<uint64_t, Keeper::Found> found = keepers[0]->found;
  uint64_t n = 0;
  for (const auto& [id, one] : found) {
    if (n++ % 4 == 0) {
      keepers[0]->spool->finish(one.handle);
      letters.erase(id);
    } else {
      const RecipientState state{0, Fate::pending, false, 9, {1}};
      keepers[0]->spool->record_states(one.handle, {&state, 1});
    }
    keepers[0]->turn(Milliseconds{1});
  }
  stop();
  start(3);
  EXPECT_FALSE(letters.empty());
  // Traffic at all of them: were the ties kept, segments would pile up.
  for (int round = 0; round < 400; ++round) {
    for (const auto& keeper : keepers) {
      const StoredHandle stored = keeper->keep({.number = 1'000'000, .octets = 16'000});
      ASSERT_NE(stored.index, UINT32_MAX);
      keeper->spool->finish(stored);
    }
  }
  for (int i = 0; i < 300; ++i) turn_all();
  uint64_t segments = 0;
  for (const auto& keeper : keepers) segments += keeper->spool->counters().segments;
  EXPECT_LT(segments, 60U);
  for (const auto& keeper : keepers) {
    for (const auto& [id, one] : keeper->found) {
      std::vector<RecipientState> expected;
      ASSERT_EQ(one.states.size(), 1U);
      EXPECT_EQ(one.states[0].attempts, 9);
    }
  }
  stop();
  start(2);
  for (const auto& keeper : keepers) {
    for (const auto& [id, one] : keeper->found) EXPECT_EQ(one.states.size(), 1U);
  }
}

#else
TEST_F(Shards, MayScanAndStartAtTheSameTime) {
  start(4);
  for (size_t i = 0; i < 400; ++i) keep(i % 4);
  stop();
  Result<std::unique_ptr<Recovery>> recovered = recover(directory, 4, 4);
  ASSERT_TRUE(recovered.has_value());
  std::vector<std::jthread> threads;
  std::vector<size_t> found(4);
  for (uint16_t i = 0; i < 4; ++i) {
    SpoolOptions mine = options;
    mine.shard = {i};
    threads.emplace_back([&, mine, i] {
      Keeper keeper(mine);
      ASSERT_TRUE(keeper.start_with(recovered->get())) << keeper.error;
      found[i] = keeper.found.size();
      for (uint64_t n = 0; n < 20; ++n) {
        keeper.spool->finish(keeper.keep({.number = n}));
      }
      EXPECT_TRUE(keeper.settle());
    });
  }
  threads.clear();
  EXPECT_EQ(found[0] + found[1] + found[2] + found[3], letters.size());
}
#endif

}  // namespace
}  // namespace ringmta::spool
