// SPDX-License-Identifier: GPL-3.0-or-later
// Writes that fail: what clients are told, and what a restart finds.
#include <algorithm>
#include <cerrno>
#include <set>

#include "directory.h"

namespace ringmta::spool {
namespace {

constexpr StoredHandle kNothing{UINT32_MAX, 0};
constexpr size_t kLettersPerSegment = 21;  // of 9,000 octets, a batch each

class Commit : public SpoolTest {
 protected:
  void SetUp() override {
    SpoolTest::SetUp();
    options.segment_size = 262'144;
    keeper = std::make_unique<Keeper>(options);
  }
  void new_world(uint64_t seed) {
    keeper.reset();
    world.reset();
    world_options.seed = seed;
    world = std::make_unique<sim::World>(world_options);
    keeper = std::make_unique<Keeper>(options);
    start();
  }
  // Mail that waits in so many segments, and a note about it at the head of the log: that segment
  // is needed for a while, whatever else happens to it.
  size_t keep_backlog(size_t count) {
    std::vector<StoredHandle> kept;
    while (kept.size() < count * kLettersPerSegment) {
      kept.push_back(keeper->keep({.number = 10'000 + kept.size(), .octets = 9'000}));
    }
    const RecipientState state{0, Fate::pending, false, 1, {1'800'000'000'000}};
    keeper->spool->record_states(kept.front(), {&state, 1});
    EXPECT_TRUE(keeper->settle());
    return kept.size();
  }
  // Mail that is delivered at once.
  void pass(size_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      const StoredHandle passing = keeper->keep({.number = 20'000 + i, .octets = 9'000});
      ASSERT_NE(passing, kNothing);
      keeper->spool->finish(passing);
    }
  }
  // How many segments hold its octets.
  int holding(const Letter& letter) {
    int count = 0;
    const std::vector<std::string> names = *ring::disk::list(directory);
    for (const std::string& name : names) {
      const auto octets = ring::disk::read(directory + "/" + name, 0, UINT64_MAX);
      if (octets && as_text(*octets).find(letter.content()) != std::string_view::npos) ++count;
    }
    return count;
  }
  void start() { ASSERT_TRUE(keeper->start()) << keeper->error; }
  // Until segments are at hand and nothing is written in the background.
  void quiet() {
    ASSERT_TRUE(keeper->drive(
        [&] { return keeper->spool->counters().segments_free == options.segments_ready + 1; }));
    keeper->drive([] { return false; }, Milliseconds{50});
  }
  void crash(sim::Crash kind) {
    ring::Io* dead[] = {keeper->io.get()};
    world->crash(dead, kind);
    keeper->stop();
    keeper->done.clear();
  }
  void fail_next_write(int32_t error, uint64_t short_octets = 0) {
    world->inject({.operation = sim::DiskOperation::write,
                   .error = error,
                   .short_octets = short_octets,
                   .path_contains = "segment-"});
  }
  Done::What outcome(const Letter& letter) {
    const size_t before = keeper->done.size();
    EXPECT_NE(keeper->store(letter), kNothing);
    EXPECT_TRUE(keeper->drive([&] { return keeper->done.size() > before; }));
    EXPECT_EQ(keeper->done.back().tag, letter.number);
    return keeper->done.back().what;
  }
  std::vector<std::string> quarantined() {
    const auto names = ring::disk::list(directory + "/quarantine");
    return names ? *names : std::vector<std::string>{};
  }

  std::unique_ptr<Keeper> keeper;
};

TEST_F(Commit, IsToldOnlyWhenTheWriteIsDone) {
  start();
  quiet();
  ASSERT_NE(keeper->keep({.number = 1}), kNothing);
  world->disk().latency_us_min = world->disk().latency_us_max = 50'000;
  const Monotonic begin = keeper->io->now();
  ASSERT_NE(keeper->keep({.number = 2}), kNothing);
  EXPECT_GE((keeper->io->now() - begin).count, 50);
}

TEST_F(Commit, SurvivesThePowerFailureThatComesWithIt) {
  for (int round = 0; round < 20; ++round) {
    start();
    const StoredHandle stored = keeper->keep({.number = 1});
    ASSERT_NE(stored, kNothing);
    const uint64_t id = keeper->spool->id(stored).value;
    crash(sim::Crash::power);
    start();
    ASSERT_TRUE(keeper->found.contains(id));
    keeper->spool->finish(keeper->found[id].handle);
    ASSERT_TRUE(keeper->settle());
    keeper->stop();
  }
}

TEST_F(Commit, TellsOfAFailedWriteAndGoesOnElsewhere) {
  start();
  quiet();
  ASSERT_EQ(outcome({.number = 1}), Done::What::committed);
  const uint64_t first = keeper->spool->id(keeper->done.back().message).value;
  fail_next_write(EIO);
  EXPECT_EQ(outcome({.number = 2}), Done::What::failed);
  EXPECT_TRUE(keeper->spool->accepting());
  EXPECT_EQ(outcome({.number = 3}), Done::What::committed);
  EXPECT_EQ(keeper->spool->counters().write_errors, 1U);
  // What lived in the segment moves, and it is set aside.
  ASSERT_TRUE(keeper->drive([&] { return !quarantined().empty(); }));
  EXPECT_EQ(keeper->spool->counters().compacted_messages, 1U);
  crash(sim::Crash::power);
  start();
  EXPECT_EQ(keeper->found.size(), 2U);
  ASSERT_TRUE(keeper->found.contains(first));
  EXPECT_EQ(keeper->found[first].sender, Letter{.number = 1}.sender());
  EXPECT_EQ(keeper->recovery->report().quarantined_records, 0U);
}

TEST_F(Commit, DoesNotBelieveAShortWrite) {
  start();
  quiet();
  ASSERT_EQ(outcome({.number = 1}), Done::What::committed);
  fail_next_write(0, 512);
  EXPECT_EQ(outcome({.number = 2}), Done::What::failed);
  quiet();
  fail_next_write(0, 0);
  EXPECT_EQ(outcome({.number = 3}), Done::What::failed);
  EXPECT_EQ(keeper->spool->counters().write_errors, 2U);
  ASSERT_TRUE(keeper->drive([&] { return keeper->spool->accepting(); }));
  EXPECT_EQ(outcome({.number = 4}), Done::What::committed);
  ASSERT_TRUE(keeper->settle());
  crash(sim::Crash::process);
  start();
  EXPECT_EQ(keeper->found.size(), 2U);
}

// The failed write left the whole record in some of the runs: the note is what keeps it away.
TEST_F(Commit, NotesThatARefusedMessageNeverWas) {
  int left_whole = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    for (const bool noted : {false, true}) {
      new_world(seed);
      const size_t backlog = keep_backlog(2);
      quiet();
      fail_next_write(EIO);
      ASSERT_EQ(outcome({.number = 1, .octets = 100}), Done::What::failed);
      if (noted) {
        ASSERT_TRUE(keeper->settle());
      }
      crash(sim::Crash::process);
      start();
      if (noted) {
        ASSERT_EQ(keeper->found.size(), backlog) << "seed " << seed;
      } else {
        left_whole += static_cast<int>(keeper->found.size() - backlog);
      }
      keeper->stop();
    }
  }
  EXPECT_GT(left_whole, 5);
}

// A batch that was closed before the one in front of it failed has no room for the note.
TEST_F(Commit, NotesARefusedMessageBeforeWhatWasClosedBehindIt) {
  options.batch_max = 10'000;
  int left_whole = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    new_world(seed);
    keep_backlog(2);
    quiet();
    fail_next_write(EIO);
    const Letter refused{.number = 1, .octets = 100};
    const uint64_t id = keeper->spool->id(keeper->store(refused)).value;
    keeper->spool->flush();  // it is under way
    for (uint64_t number = 2; number <= 6; ++number) {
      ASSERT_NE(keeper->store({.number = number, .octets = 9'000}), kNothing);
    }
    const auto told = [&](uint64_t number, Done::What what) {
      return std::ranges::any_of(
          keeper->done, [&](const Done& one) { return one.tag == number && one.what == what; });
    };
    ASSERT_TRUE(keeper->drive([&] { return told(2, Done::What::committed); }));
    ASSERT_TRUE(told(1, Done::What::failed));
    crash(sim::Crash::process);
    left_whole += holding(refused) > 0 ? 1 : 0;
    start();
    EXPECT_FALSE(keeper->found.contains(id)) << "seed " << seed;
    keeper->stop();
  }
  EXPECT_GT(left_whole, 5);
}

// A start erases what a failed write left: it stays away without the note, too.
TEST_F(Commit, LeavesNothingOfARefusedMessageBehindARestart) {
  int left_whole = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    new_world(seed);
    const size_t backlog = keep_backlog(2);
    quiet();
    fail_next_write(EIO);
    const Letter refused{.number = 1, .octets = 100};
    ASSERT_EQ(outcome(refused), Done::What::failed);
    ASSERT_TRUE(keeper->settle());
    crash(sim::Crash::process);
    left_whole += holding(refused) > 0 ? 1 : 0;
    start();
    EXPECT_EQ(holding(refused), 0);
    EXPECT_EQ(keeper->recovery->report().findings, std::vector<std::string>{});
    EXPECT_EQ(keeper->found.size(), backlog);
    keeper->stop();
  }
  EXPECT_GT(left_whole, 5);
}

// A copy of an accepted message in a batch that failed never was, like everything in it: when the
// message has ended and nothing else tells of it any more, the copy must not bring it back.
TEST_F(Commit, ThatFailedKeepsNoCopiesOfMovedMessages) {
  int left_whole = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    new_world(seed);
    const Letter moved{.number = 7, .octets = 200};
    const StoredHandle message = keeper->keep(moved);
    pass(kLettersPerSegment);
    const size_t backlog = keep_backlog(8);
    quiet();
    fail_next_write(EIO);
    ASSERT_TRUE(keeper->drive([&] { return keeper->spool->counters().compacted_messages > 0; },
                              seconds(60)));
    ASSERT_EQ(keeper->spool->counters().write_errors, 1U);
    keeper->spool->finish(message);
    // Until the segment it was accepted in and the one it moved to could be used again.
    pass(4 * kLettersPerSegment);
    ASSERT_TRUE(keeper->settle());
    crash(sim::Crash::process);
    left_whole += holding(moved) > 0 ? 1 : 0;
    start();
    EXPECT_EQ(keeper->found.size(), backlog) << "seed " << seed;
    keeper->stop();
  }
  EXPECT_GT(left_whole, 3);
}

TEST_F(Commit, WritesTheNotesOfAFailedBatchAgain) {
  start();
  quiet();
  const StoredHandle finished = keeper->keep({.number = 1});
  const StoredHandle deferred = keeper->keep({.number = 2});
  const uint64_t id = keeper->spool->id(deferred).value;
  keeper->spool->finish(finished);
  const RecipientState state{0, Fate::pending, false, 7, {1'800'000'000'000}};
  keeper->spool->record_states(deferred, {&state, 1});
  fail_next_write(EIO);
  ASSERT_TRUE(keeper->drive([&] { return keeper->spool->counters().write_errors == 1; }));
  ASSERT_TRUE(keeper->settle());
  crash(sim::Crash::power);
  start();
  ASSERT_EQ(keeper->found.size(), 1U);
  ASSERT_EQ(keeper->found[id].states.size(), 1U);
  EXPECT_EQ(keeper->found[id].states[0].attempts, 7);
}

// A full batch leaves no room for the notes that wait: they go with the next one.
TEST_F(Commit, WritesNoMoreNotesThanASegmentHolds) {
  options.segment_size = 65'536;
  keeper = std::make_unique<Keeper>(options);
  start();
  std::vector<StoredHandle> kept;
  for (uint64_t i = 0; i < 1'500; ++i) kept.push_back(keeper->keep({.number = i + 1}));
  ASSERT_TRUE(keeper->settle());
  for (size_t i = 0; i < kept.size(); ++i) {
    const RecipientState state{0, Fate::pending, false, 3, {1'800'000'000'000}};
    if (i % 5 == 0) {
      keeper->spool->record_states(kept[i], {&state, 1});
    } else {
      keeper->spool->finish(kept[i]);
    }
  }
  for (uint64_t i = 0; i < 20; ++i) keeper->store({.number = 2'000 + i, .octets = 5'000});
  ASSERT_TRUE(keeper->settle());
  crash(sim::Crash::power);
  start();
  EXPECT_EQ(keeper->found.size(), kept.size() / 5 + 20);
  for (const auto& [id, found] : keeper->found) {
    for (const RecipientState& state : found.states) EXPECT_EQ(state.attempts, 3);
  }
}

TEST_F(Commit, RefusesMailWhileTheDiskFailsAndTakesItAgainByItself) {
  options.segments_ready = 5;
  keeper = std::make_unique<Keeper>(options);
  start();
  quiet();
  const StoredHandle before = keeper->keep({.number = 1});
  ASSERT_NE(before, kNothing);
  for (uint64_t i = 0; i < 4; ++i) {
    world->inject({.operation = sim::DiskOperation::write,
                   .nth = i + 1,
                   .error = EIO,
                   .path_contains = "segment-"});
  }
  EXPECT_EQ(outcome({.number = 2}), Done::What::failed);
  ASSERT_TRUE(keeper->drive([&] { return !keeper->spool->accepting(); }));
  EXPECT_EQ(keeper->store({.number = 3}), kNothing);
  EXPECT_EQ(keeper->wire(before), Letter{.number = 1}.wire()) << "delivery goes on";
  ASSERT_TRUE(keeper->drive([&] { return keeper->spool->accepting(); }));
  EXPECT_EQ(outcome({.number = 4}), Done::What::committed);
}

TEST_F(Commit, MovesBigMessagesOffASegmentThatFailed) {
  options.segment_size = 2'097'152;
  keeper = std::make_unique<Keeper>(options);
  start();
  quiet();
  const Letter big{.number = 1, .octets = 400'000, .recipients = 2};
  const StoredHandle stored = keeper->keep(big);
  const uint64_t id = keeper->spool->id(stored).value;
  const RecipientState state{1, Fate::delivered, false, 1, {}};
  keeper->spool->record_states(stored, {&state, 1});
  ASSERT_TRUE(keeper->settle());
  fail_next_write(EIO);
  ASSERT_EQ(outcome({.number = 2}), Done::What::failed);
  ASSERT_TRUE(keeper->drive([&] { return !quarantined().empty(); }));
  EXPECT_EQ(keeper->wire(stored), big.wire());
  crash(sim::Crash::power);
  start();
  ASSERT_TRUE(keeper->found.contains(id));
  ASSERT_EQ(keeper->found[id].states.size(), 1U);
  EXPECT_EQ(keeper->found[id].states[0].fate, Fate::delivered);
  const StoredHandle again = keeper->found[id].handle;
  keeper->spool->load(again, 9);
  ASSERT_TRUE(keeper->drive([&] { return !keeper->done.empty(); }));
  EXPECT_EQ(keeper->wire(again), big.wire());
}

TEST_F(Commit, FallsBackToBufferedWritesWhereDirectOnesAreRefused) {
  fail_next_write(EINVAL);
  start();
  ASSERT_EQ(outcome({.number = 1}), Done::What::committed);
  EXPECT_FALSE(keeper->spool->counters().direct);
  crash(sim::Crash::power);
  start();
  EXPECT_EQ(keeper->found.size(), 1U);
}

TEST_F(Commit, InsistsOnDirectWritesWhereTheyWereAskedFor) {
  options.write_mode = WriteMode::direct;
  keeper = std::make_unique<Keeper>(options);
  fail_next_write(EINVAL);
  start();
  keeper->turn();
  ASSERT_TRUE(keeper->drive([&] { return keeper->spool->counters().segments > 0; }));
  EXPECT_TRUE(keeper->spool->counters().direct);
}

}  // namespace
}  // namespace ringmta::spool
