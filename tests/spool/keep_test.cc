// SPDX-License-Identifier: GPL-3.0-or-later
// Mail that is stored is committed, given out as it came, found again after a restart until it is
// finished, with what became of its recipients.
#include "directory.h"

namespace ringmta::spool {
namespace {

using Keep = SpoolTest;

constexpr StoredHandle kNothing{UINT32_MAX, 0};

TEST_F(Keep, GivesOutWhatItTook) {
  Keeper keeper(options);
  ASSERT_TRUE(keeper.start()) << keeper.error;
  const Letter letter{.number = 7};
  const StoredHandle stored = keeper.keep(letter);
  ASSERT_NE(stored, kNothing);
  ASSERT_EQ(keeper.done.size(), 1U);
  EXPECT_EQ(keeper.done[0].tag, 7U);
  EXPECT_EQ(keeper.wire(stored), letter.wire());
  const std::string wire = letter.wire();
  EXPECT_EQ(keeper.wire(stored, false), wire.substr(0, wire.size() - 3));
  EXPECT_EQ(keeper.spool->wire_size(stored), wire.size());
  EXPECT_EQ(keeper.sender(stored), letter.sender());
}

TEST_F(Keep, FindsItAfterARestart) {
  Keeper keeper(options);
  ASSERT_TRUE(keeper.start());
  const Letter letter{.number = 1, .octets = 500, .recipients = 3};
  const StoredHandle stored = keeper.keep(letter);
  const uint64_t id = keeper.spool->id(stored).value;
  keeper.stop();
  ASSERT_TRUE(keeper.start()) << keeper.error;
  EXPECT_EQ(keeper.recovery->report().messages, 1U);
  EXPECT_EQ(keeper.recovery->report().recipients_pending, 3U);
  EXPECT_TRUE(keeper.recovery->report().findings.empty());
  ASSERT_TRUE(keeper.found.contains(id));
  const Keeper::Found& found = keeper.found[id];
  EXPECT_EQ(found.sender, letter.sender());
  ASSERT_EQ(found.recipients.size(), 3U);
  EXPECT_EQ(found.recipients[2], letter.recipient(2));
  EXPECT_TRUE(found.states.empty());
  EXPECT_FALSE(keeper.spool->in_memory(found.handle));
  EXPECT_EQ(keeper.spool->wire_size(found.handle), letter.wire().size());
  keeper.done.clear();
  keeper.spool->load(found.handle, 99);
  ASSERT_TRUE(keeper.drive([&] { return !keeper.done.empty(); }));
  EXPECT_EQ(keeper.done[0].what, Done::What::loaded);
  EXPECT_EQ(keeper.done[0].tag, 99U);
  EXPECT_EQ(keeper.wire(found.handle), letter.wire());
  EXPECT_EQ(keeper.sender(found.handle), letter.sender());
}

TEST_F(Keep, ForgetsWhatIsFinished) {
  Keeper keeper(options);
  ASSERT_TRUE(keeper.start());
  const StoredHandle first = keeper.keep({.number = 1});
  const StoredHandle second = keeper.keep({.number = 2});
  const uint64_t kept = keeper.spool->id(second).value;
  keeper.spool->finish(first);
  EXPECT_FALSE(keeper.spool->idle());
  ASSERT_TRUE(keeper.settle());
  keeper.stop();
  ASSERT_TRUE(keeper.start());
  EXPECT_EQ(keeper.found.size(), 1U);
  EXPECT_TRUE(keeper.found.contains(kept));
}

TEST_F(Keep, KeepsStates) {
  Keeper keeper(options);
  ASSERT_TRUE(keeper.start());
  const StoredHandle one = keeper.keep({.number = 1});
  const StoredHandle three = keeper.keep({.number = 2, .recipients = 3});
  const uint64_t one_id = keeper.spool->id(one).value;
  const uint64_t three_id = keeper.spool->id(three).value;
  const RecipientState deferred{0, Fate::pending, true, 2, {1'800'000'000'123}};
  keeper.spool->record_states(one, {&deferred, 1});
  const RecipientState fates[] = {{2, Fate::delivered, false, 1, {}},
                                  {0, Fate::pending, false, 1, {1'800'000'000'000}}};
  keeper.spool->record_states(three, fates);
  const RecipientState again{0, Fate::pending, false, 2, {1'800'000'999'000}};
  keeper.spool->record_states(three, {&again, 1});
  ASSERT_TRUE(keeper.settle());
  for (int restart = 0; restart < 2; ++restart) {
    keeper.stop();
    ASSERT_TRUE(keeper.start());
    EXPECT_EQ(keeper.recovery->report().recipients_pending, 3U);
    const auto& states = keeper.found[one_id].states;
    ASSERT_EQ(states.size(), 1U);
    EXPECT_EQ(states[0].fate, Fate::pending);
    EXPECT_TRUE(states[0].delay_reported);
    EXPECT_EQ(states[0].attempts, 2);
    EXPECT_EQ(states[0].next_attempt.ms, 1'800'000'000'123);
    const auto& more = keeper.found[three_id].states;
    ASSERT_EQ(more.size(), 2U);
    EXPECT_EQ(more[0].index, 0U);
    EXPECT_EQ(more[0].attempts, 2);
    EXPECT_EQ(more[0].next_attempt.ms, 1'800'000'999'000);
    EXPECT_EQ(more[1].index, 2U);
    EXPECT_EQ(more[1].fate, Fate::delivered);
  }
}

TEST_F(Keep, TakesBigMessages) {
  options.segment_size = 16'777'216;
  Keeper keeper(options);
  ASSERT_TRUE(keeper.start());
  std::vector<std::pair<uint64_t, Letter>> kept;
  uint64_t number = 0;
  for (const size_t octets :
       {20'000UL, 32'768UL, 40'000UL, 65'536UL, 70'001UL, 300'000UL, 1'000'003UL, 5'000'000UL}) {
    const Letter letter{.number = ++number, .octets = octets};
    const StoredHandle stored = keeper.keep(letter);
    ASSERT_NE(stored, kNothing);
    EXPECT_EQ(keeper.wire(stored), letter.wire());
    const std::string wire = letter.wire();
    EXPECT_EQ(keeper.wire(stored, false), wire.substr(0, wire.size() - 3));
    kept.emplace_back(keeper.spool->id(stored).value, letter);
    ASSERT_NE(keeper.keep({.number = 1000 + number}), kNothing);
  }
  keeper.stop();
  ASSERT_TRUE(keeper.start());
  EXPECT_EQ(keeper.found.size(), 2 * kept.size());
  for (const auto& [id, letter] : kept) {
    ASSERT_TRUE(keeper.found.contains(id));
    const StoredHandle handle = keeper.found[id].handle;
    keeper.done.clear();
    keeper.spool->load(handle, 5);
    ASSERT_TRUE(keeper.drive([&] { return !keeper.done.empty(); }));
    ASSERT_EQ(keeper.done[0].what, Done::What::loaded);
    EXPECT_EQ(keeper.wire(handle), letter.wire());
    const std::string wire = letter.wire();
    EXPECT_EQ(keeper.wire(handle, false), wire.substr(0, wire.size() - 3));
  }
}

TEST_F(Keep, RefusesWhatNoSegmentHolds) {
  Keeper keeper(options);
  ASSERT_TRUE(keeper.start());
  EXPECT_EQ(keeper.store_gathered({.number = 1, .octets = 1'048'576}), kNothing);
  EXPECT_NE(keeper.keep({.number = 2, .octets = 900'000}), kNothing);
  EXPECT_NE(keeper.keep({.number = 3}), kNothing);
}

TEST_F(Keep, GivesIdsThatGrowOverRestarts) {
  Keeper keeper(options);
  ASSERT_TRUE(keeper.start());
  const uint64_t first = keeper.spool->next_id().value;
  const StoredHandle stored = keeper.keep({.number = 1});
  const uint64_t second = keeper.spool->id(stored).value;
  EXPECT_GT(second, first);
#ifdef RINGMTA_SIMULATED
  world->step_wall_clock(Milliseconds{-3'600'000});
#endif
  keeper.stop();
  ASSERT_TRUE(keeper.start());
  uint64_t last = second;
  for (int i = 0; i < 40'000; ++i) {
    const uint64_t next = keeper.spool->next_id().value;
    ASSERT_GT(next, last);
    last = next;
  }
}

TEST_F(Keep, SharesOneWriteAmongMany) {
  Keeper keeper(options);
  ASSERT_TRUE(keeper.start());
  ASSERT_NE(keeper.keep({.number = 1}), kNothing);
  const uint64_t before = keeper.spool->counters().batches;
  for (uint64_t i = 0; i < 50; ++i) ASSERT_NE(keeper.store({.number = 2 + i}), kNothing);
  ASSERT_TRUE(keeper.drive([&] { return keeper.done.size() == 51; }));
  EXPECT_EQ(keeper.spool->counters().batches, before + 1);
  for (uint64_t i = 0; i < 50; ++i) EXPECT_EQ(keeper.done[1 + i].tag, 2 + i);
}

}  // namespace
}  // namespace ringmta::spool
