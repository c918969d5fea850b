// SPDX-License-Identifier: GPL-3.0-or-later
// Segments are used again: without a read where nothing lives, by moving what little lives, and
// with checkpoints where notes would keep them.
#include <cerrno>

#include "directory.h"

namespace ringmta::spool {
namespace {

constexpr uint64_t kSegment = 262'144;

class Reclaim : public SpoolTest {
 protected:
  void SetUp() override {
    SpoolTest::SetUp();
    options.segment_size = kSegment;
    begin();
  }
  void begin() {
    keeper = std::make_unique<Keeper>(options);
    ASSERT_TRUE(keeper->start()) << keeper->error;
  }
  const SpoolCounters& counters() { return keeper->spool->counters(); }
  // Mail that comes and is delivered at once.
  void traffic(uint64_t octets) {
    const uint64_t end = counters().batch_octets + octets;
    while (counters().batch_octets < end) {
      std::vector<StoredHandle> batch;
      const size_t before = keeper->done.size();
      for (int i = 0; i < 8; ++i) {
        batch.push_back(keeper->store({.number = ++number, .octets = 4'000}));
      }
      ASSERT_TRUE(keeper->drive([&] { return keeper->done.size() == before + 8; }));
      for (const StoredHandle message : batch) keeper->spool->finish(message);
    }
    keeper->done.clear();
  }
  void restart(sim::Crash kind = sim::Crash::power) {
    ring::Io* dead[] = {keeper->io.get()};
    world->crash(dead, kind);
    keeper->stop();
    keeper->done.clear();
    ASSERT_TRUE(keeper->start()) << keeper->error;
  }

  std::unique_ptr<Keeper> keeper;
  uint64_t number = 0;
};

TEST_F(Reclaim, NeedsNoReadsWhereNothingLives) {
  world->inject({.operation = sim::DiskOperation::read, .error = EIO});  // would show
  traffic(40 * kSegment);
  EXPECT_GT(counters().recycled_segments, 30U);
  EXPECT_LE(counters().segments, 8U);
  EXPECT_EQ(counters().compacted_messages, 0U);
  EXPECT_EQ(counters().loads, 0U);
  ASSERT_TRUE(keeper->settle());
  restart();
  EXPECT_TRUE(keeper->found.empty());
}

TEST_F(Reclaim, MovesWhatLittleLives) {
  std::map<uint64_t, Letter> waiting;
  for (int i = 0; i < 30; ++i) {
    const Letter letter{.number = 100'000 + static_cast<uint64_t>(i), .octets = 900};
    const StoredHandle stored = keeper->keep(letter);
    const RecipientState state{0, Fate::pending, false, static_cast<uint16_t>(i), {1}};
    keeper->spool->record_states(stored, {&state, 1});
    if (i % 2 == 0) keeper->spool->evict(stored);
    waiting[keeper->spool->id(stored).value] = letter;
    traffic(kSegment);
  }
  ASSERT_TRUE(keeper->drive([&] { return counters().compacted_messages >= 25; }, seconds(60)));
  ASSERT_TRUE(keeper->drive([&] { return counters().segments < 16; }, seconds(60)));
  ASSERT_TRUE(keeper->settle());
  restart();
  ASSERT_EQ(keeper->found.size(), waiting.size());
  for (const auto& [id, letter] : waiting) {
    ASSERT_TRUE(keeper->found.contains(id));
    const auto& states = keeper->found[id].states;
    ASSERT_EQ(states.size(), 1U);
    EXPECT_EQ(states[0].attempts, letter.number - 100'000);
    keeper->done.clear();
    keeper->spool->load(keeper->found[id].handle, 1);
    ASSERT_TRUE(keeper->drive([&] { return !keeper->done.empty(); }));
    EXPECT_EQ(keeper->wire(keeper->found[id].handle), letter.wire());
  }
}

TEST_F(Reclaim, LeavesWhatMostlyLives) {
  std::vector<StoredHandle> waiting;
  for (int i = 0; i < 100; ++i) {
    waiting.push_back(
        keeper->keep({.number = 100'000 + static_cast<uint64_t>(i), .octets = 8'000}));
  }
  traffic(10 * kSegment);
  keeper->drive([] { return false; }, seconds(30));
  EXPECT_LT(counters().compacted_messages, 35U);
}

// A backlog that waits in old segments, with notes about it in all newer ones: those would pile up.
TEST_F(Reclaim, CutsTheTiesOfNotes) {
  std::vector<StoredHandle> waiting;
  for (int i = 0; i < 200; ++i) {
    waiting.push_back(
        keeper->keep({.number = 100'000 + static_cast<uint64_t>(i), .octets = 8'000}));
  }
  const uint64_t backlog = counters().segments;
  uint16_t attempts = 0;
  for (int round = 0; round < 60; ++round) {
    ++attempts;
    for (const StoredHandle message : waiting) {
      const RecipientState state{0, Fate::pending, false, attempts, {1'800'000'000'000}};
      keeper->spool->record_states(message, {&state, 1});
    }
    traffic(kSegment);
  }
  // Checkpoints take their time.
  ASSERT_TRUE(keeper->drive([&] { return counters().segments < backlog + 12; }, seconds(60)));
  EXPECT_GT(counters().checkpoints, 0U);
  EXPECT_GT(counters().recycled_segments, 40U);
  ASSERT_TRUE(keeper->settle());
  restart();
  ASSERT_EQ(keeper->found.size(), waiting.size());
  for (const auto& [id, found] : keeper->found) {
    ASSERT_EQ(found.states.size(), 1U);
    EXPECT_EQ(found.states[0].attempts, attempts);
  }
}

// Checkpoints of big segments take a while to make: they come one by one while there is time.
TEST_F(Reclaim, KeepsADistanceBetweenCheckpoints) {
  std::vector<StoredHandle> waiting;
  for (int i = 0; i < 200; ++i) {
    waiting.push_back(
        keeper->keep({.number = 100'000 + static_cast<uint64_t>(i), .octets = 8'000}));
  }
  // Just as many dead segments as may not wait any more, with notes about all of the backlog.
  while (counters().checkpoints == 0) {
    const RecipientState state{0, Fate::pending, false, 1, {1'800'000'000'000}};
    for (const StoredHandle message : waiting) keeper->spool->record_states(message, {&state, 1});
    traffic(20'000);
  }
  const Monotonic begin = keeper->io->now();
  ASSERT_TRUE(keeper->drive([&] { return counters().checkpoints >= 5; }, seconds(60)));
  EXPECT_GE((keeper->io->now() - begin).count, 4 * 50);
  EXPECT_LE((keeper->io->now() - begin).count, 4 * 100);
}

// Tombstones may go only when what they are about cannot be found any more.
TEST_F(Reclaim, BringsNothingBack) {
  std::vector<StoredHandle> waiting;
  for (int i = 0; i < 60; ++i) {
    waiting.push_back(
        keeper->keep({.number = 100'000 + static_cast<uint64_t>(i), .octets = 8'000}));
  }
  uint64_t left = waiting.size();
  for (int round = 0; round < 30; ++round) {
    keeper->spool->finish(waiting[static_cast<size_t>(round * 2)]);
    --left;
    traffic(2 * kSegment);
  }
  ASSERT_TRUE(keeper->settle());
  EXPECT_GT(counters().recycled_segments, 20U);
  restart();
  EXPECT_EQ(keeper->found.size(), left);
  restart(sim::Crash::process);
  EXPECT_EQ(keeper->found.size(), left);
}

// Messages that were moved leave older copies; after their end none of them may come back.
TEST_F(Reclaim, BringsNoOlderCopiesBack) {
  for (uint64_t round = 0; round < 12; ++round) {
    std::vector<StoredHandle> waiting;
    for (uint64_t i = 0; i < 6; ++i) {
      waiting.push_back(keeper->keep({.number = 100'000 + round * 10 + i}));
      traffic(kSegment);
    }
    const uint64_t moved = counters().compacted_messages;
    ASSERT_TRUE(
        keeper->drive([&] { return counters().compacted_messages >= moved + 4; }, seconds(60)));
    for (const StoredHandle message : waiting) keeper->spool->finish(message);
    traffic(kSegment * (1 + round % 3));
    ASSERT_TRUE(keeper->settle());
    restart();
    ASSERT_TRUE(keeper->found.empty()) << "round " << round;
  }
}

TEST_F(Reclaim, KeepsASegmentWhoseMessagesCannotBeRead) {
  const StoredHandle stored = keeper->keep({.number = 100'000});
  const uint64_t id = keeper->spool->id(stored).value;
  keeper->spool->evict(stored);
  traffic(3 * kSegment);
  for (uint64_t n = 1; n <= 3; ++n) {
    world->inject({.operation = sim::DiskOperation::read, .nth = n, .error = EIO});
  }
  keeper->drive([] { return false; }, seconds(70));
  // Tried again until it could be read: it was moved in the end, and is whole.
  EXPECT_EQ(counters().compacted_messages, 1U);
  restart();
  ASSERT_EQ(keeper->found.size(), 1U);
  EXPECT_TRUE(keeper->found.contains(id));
}

}  // namespace
}  // namespace ringmta::spool
