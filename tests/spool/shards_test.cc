// SPDX-License-Identifier: GPL-3.0-or-later
// A spool that is opened by other numbers of shards than wrote it: every message is found by
// exactly one of them, whole, and what ties segments of different shards is cut in the end.
#include <cerrno>
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
#ifdef RINGMTA_SIMULATED
  void crash() {
    std::vector<ring::Io*> dead;
    for (const auto& keeper : keepers) dead.push_back(keeper->io.get());
    world->crash(dead, sim::Crash::process);
    for (const auto& keeper : keepers) keeper->stop();
    stop();
  }
#endif
  void turn_all() {
    for (const auto& keeper : keepers) keeper->turn(Milliseconds{5});
  }
  StoredHandle keep(size_t shard, size_t octets = 3'000) {
    const Letter letter{.number = ++number, .octets = octets};
    const StoredHandle stored = keepers[shard]->keep(letter);
    EXPECT_NE(stored.index, UINT32_MAX);
    letters[keepers[shard]->spool->id(stored).value] = letter;
    return stored;
  }
  void finish(Keeper& of, StoredHandle message) {
    letters.erase(of.spool->id(message).value);
    of.spool->finish(message);
  }
  // Mail that is delivered at once.
  void pass(Keeper& through, uint64_t octets) {
    const uint64_t end = through.spool->counters().batch_octets + octets;
    while (through.spool->counters().batch_octets < end) {
      through.spool->finish(through.keep({.number = 1'000'000, .octets = 9'000}));
    }
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

// A message is moved, and moved again by another shard than has its first place now. What tells of
// its end is needed for as long as that oldest copy may be found.
TEST_F(Shards, BringNoOldestCopiesBack) {
  const auto wait_for_a_move = [](Keeper& by) {
    ASSERT_TRUE(by.drive([&] { return by.spool->counters().compacted_messages > 0; }, seconds(60)));
  };
  for (uint64_t round = 0; round < 8; ++round) {
    world.reset();
    world = std::make_unique<sim::World>(world_options);
    letters.clear();
    start(1);
    const StoredHandle waiting = keep(0, 200'000);
    pass(*keepers[0], options.segment_size);
    const StoredHandle moved = keep(0, 200);
    const uint64_t id = keepers[0]->spool->id(moved).value;
    const RecipientState state{0, Fate::pending, false, 1, {1}};
    keepers[0]->spool->record_states(waiting, {&state, 1});  // keeps the segment of the message
    pass(*keepers[0], options.segment_size + round * 20'000);
    wait_for_a_move(*keepers[0]);
    for (int i = 0; i < 20; ++i) keep(0, 1'000);  // weigh for another shard than the oldest copy's
    stop();
    start(2);
    Keeper& by = *keepers[keepers[0]->found.contains(id) ? 0 : 1];
    for (const auto& [beside, found] : std::map(by.found)) {
      if (beside != id) finish(by, found.handle);
    }
    pass(by, options.segment_size);  // its log may go on in the segment it took over
    wait_for_a_move(by);
    finish(by, by.found[id].handle);
    pass(by, 8 * options.segment_size);
    ASSERT_TRUE(by.settle());
    crash();
    start(1);
    ASSERT_FALSE(::testing::Test::HasFailure()) << "round " << round;
    stop();
  }
}

// The log may go on in a segment that was written before, but not in one a write to which failed:
// the note of that, which another shard has now, would take the new mail for what the write left.
TEST_F(Shards, DoNotGoOnWhereAWriteFailed) {
  start(1);
  const StoredHandle waiting = keep(0, 200'000);
  keep(0, 200'000);
  pass(*keepers[0], 70'000);
  const RecipientState state{0, Fate::pending, false, 1, {1}};
  keepers[0]->spool->record_states(waiting, {&state, 1});  // keeps the segment that will fail
  ASSERT_TRUE(keepers[0]->settle());
  world->inject({.operation = sim::DiskOperation::write, .error = EIO, .path_contains = "000003"});
  ASSERT_EQ(keepers[0]->keep({.number = 1'000'000}).index, UINT32_MAX);
  keep(0);
  ASSERT_TRUE(keepers[0]->settle());
  crash();
  start(2);
  EXPECT_EQ(keepers[0]->found.size(), 2U);
  keep(1);
  crash();
  start(2);
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
