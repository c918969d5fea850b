// SPDX-License-Identifier: GPL-3.0-or-later
// The memory of messages: a budget, what it takes away and what it leaves, and reading back.
#include <cerrno>

#include "directory.h"

namespace ringmta::spool {
namespace {

constexpr StoredHandle kNothing{UINT32_MAX, 0};

class Memory : public SpoolTest {
 protected:
  void SetUp() override {
    SpoolTest::SetUp();
    options.segment_size = 4'194'304;
    options.memory_max = 2'097'152;
    keeper = std::make_unique<Keeper>(options);
    ASSERT_TRUE(keeper->start()) << keeper->error;
  }
  std::vector<StoredHandle> keep_many(uint64_t count, size_t octets) {
    std::vector<StoredHandle> kept;
    for (uint64_t i = 1; i <= count; ++i) {
      kept.push_back(keeper->keep({.number = i, .octets = octets}));
      EXPECT_NE(kept.back(), kNothing);
    }
    return kept;
  }
  bool in_memory(StoredHandle message) { return keeper->spool->in_memory(message); }
  bool load(StoredHandle message) {
    keeper->done.clear();
    keeper->spool->load(message, 77);
    EXPECT_TRUE(keeper->drive([&] { return !keeper->done.empty(); }));
    EXPECT_EQ(keeper->done[0].tag, 77U);
    EXPECT_EQ(keeper->done[0].message, message);
    return keeper->done[0].what == Done::What::loaded;
  }
  uint64_t octets() { return keeper->spool->counters().memory_octets; }

  std::unique_ptr<Keeper> keeper;
};

TEST_F(Memory, StaysWithinItsBudgetOldestFirst) {
  const std::vector<StoredHandle> kept = keep_many(1000, 4'000);
  EXPECT_LE(octets(), options.memory_max + 300'000);
  EXPECT_FALSE(in_memory(kept.front()));
  EXPECT_TRUE(in_memory(kept.back()));
  size_t here = 0;
  bool seen = false;
  for (const StoredHandle message : kept) {
    if (in_memory(message)) {
      ++here;
      seen = true;
    } else {
      EXPECT_FALSE(seen) << "an older one is here, a younger one is not";
    }
  }
  EXPECT_GT(here, 150U);
  EXPECT_FALSE(keeper->spool->memory_pressed());
  EXPECT_GT(keeper->spool->counters().evictions, 400U);
}

TEST_F(Memory, KeepsWhatIsPinned) {
  const StoredHandle pinned = keeper->keep({.number = 5000});
  keeper->spool->pin(pinned);
  keeper->spool->pin(pinned);
  keep_many(1000, 4'000);
  EXPECT_TRUE(in_memory(pinned));
  keeper->spool->evict(pinned);
  EXPECT_TRUE(in_memory(pinned));
  keeper->spool->unpin(pinned);
  keeper->spool->evict(pinned);
  EXPECT_TRUE(in_memory(pinned));
  keeper->spool->unpin(pinned);
  keeper->spool->evict(pinned);
  EXPECT_FALSE(in_memory(pinned));
  EXPECT_TRUE(keeper->spool->head(pinned).empty());
  EXPECT_TRUE(keeper->wire(pinned).empty());
}

TEST_F(Memory, ComesBackAsItWas) {
  const std::vector<StoredHandle> kept = keep_many(50, 3'000);
  const StoredHandle big = keeper->keep({.number = 1000, .octets = 500'000});
  for (const StoredHandle message : kept) keeper->spool->evict(message);
  keeper->spool->evict(big);
  ASSERT_TRUE(load(big));
  EXPECT_EQ(keeper->wire(big), (Letter{.number = 1000, .octets = 500'000}.wire()));
  for (uint64_t i = 0; i < kept.size(); ++i) {
    ASSERT_TRUE(load(kept[i]));
    EXPECT_EQ(keeper->wire(kept[i]), (Letter{.number = i + 1, .octets = 3'000}.wire()));
    keeper->spool->evict(kept[i]);
    EXPECT_TRUE(in_memory(kept[i])) << "loaded means pinned";
    keeper->spool->unpin(kept[i]);
  }
}

TEST_F(Memory, BringsNeighboursAlong) {
  const std::vector<StoredHandle> kept = keep_many(100, 1'000);
  for (const StoredHandle message : kept) keeper->spool->evict(message);
  ASSERT_TRUE(load(kept[10]));
  EXPECT_FALSE(in_memory(kept[9]));
  for (size_t i = 10; i < 20; ++i) {
    EXPECT_TRUE(in_memory(kept[i]));
    EXPECT_EQ(keeper->wire(kept[i]), (Letter{.number = i + 1, .octets = 1'000}.wire()));
  }
  EXPECT_FALSE(in_memory(kept[60]));
  EXPECT_EQ(keeper->spool->counters().loads, 1U);
}

TEST_F(Memory, IsReadOnceForAllWhoAsk) {
  const StoredHandle message = keeper->keep({.number = 1});
  keeper->spool->evict(message);
  keeper->done.clear();
  for (uint64_t tag = 1; tag <= 3; ++tag) keeper->spool->load(message, tag);
  ASSERT_TRUE(keeper->drive([&] { return keeper->done.size() == 3; }));
  EXPECT_EQ(keeper->spool->counters().loads, 1U);
  for (uint64_t tag = 1; tag <= 3; ++tag) {
    EXPECT_EQ(keeper->done[tag - 1].tag, tag);
    keeper->spool->evict(message);
    EXPECT_TRUE(in_memory(message)) << "pinned for each";
    keeper->spool->unpin(message);
  }
  keeper->spool->evict(message);
  EXPECT_FALSE(in_memory(message));
}

// Nothing happens in the world then, so the loop must not go to sleep before it is told.
TEST_F(Memory, ThatIsThereIsToldWithoutAnEvent) {
  const StoredHandle message = keeper->keep({.number = 1});
  ASSERT_TRUE(keeper->settle());
  keeper->done.clear();
  EXPECT_FALSE(keeper->spool->flush());
  keeper->spool->load(message, 5);
  EXPECT_TRUE(keeper->spool->flush());
  keeper->spool->take_done(keeper->done);
  ASSERT_EQ(keeper->done.size(), 1U);
  EXPECT_EQ(keeper->done[0].what, Done::What::loaded);
  EXPECT_FALSE(keeper->spool->flush());
}

TEST_F(Memory, TellsWhatCannotBeRead) {
  const StoredHandle message = keeper->keep({.number = 1});
  keeper->spool->evict(message);
  world->inject({.operation = sim::DiskOperation::read, .error = EIO});
  EXPECT_FALSE(load(message));
  world->inject({.operation = sim::DiskOperation::read, .short_octets = 512});
  EXPECT_FALSE(load(message));
  EXPECT_TRUE(load(message)) << "it is kept, and may be readable another time";
  EXPECT_EQ(keeper->wire(message), Letter{.number = 1}.wire());
}

TEST_F(Memory, ThatIsDamagedOnDiskIsNotBelieved) {
  const StoredHandle message = keeper->keep({.number = 1});
  keeper->spool->evict(message);
  const std::string path = directory + "/segment-000-000001";
  auto block = ring::disk::read(path, 4096, 4096);
  ASSERT_TRUE(block.has_value());
  (*block)[1000] ^= std::byte{1};
  ASSERT_TRUE(ring::disk::overwrite(path, 4096, *block));
  EXPECT_FALSE(load(message));
}

TEST_F(Memory, RefusesContentBeyondItsHardLimit) {
  std::vector<Gathering*> gatherings;
  const std::string piece(65'536, 'x');
  bool refused = false;
  for (int i = 0; i < 100 && !refused; ++i) {
    Gathering* gathering = keeper->spool->gather();
    if (gathering == nullptr) {
      refused = true;
      break;
    }
    gatherings.push_back(gathering);
    for (int n = 0; n < 4 && !refused; ++n) {
      refused = !keeper->spool->gather_append(*gathering, piece);
    }
  }
  EXPECT_TRUE(refused);
  EXPECT_TRUE(keeper->spool->memory_pressed());
  EXPECT_TRUE(keeper->spool->memory_exhausted());
  EXPECT_EQ(keeper->spool->gather(), nullptr);
  EXPECT_LE(octets(), options.memory_max + options.memory_max / 4 + 600'000);
  for (Gathering* gathering : gatherings) keeper->spool->gather_drop(gathering);
  EXPECT_FALSE(keeper->spool->memory_exhausted());
  EXPECT_FALSE(keeper->spool->memory_pressed());
  EXPECT_NE(keeper->keep({.number = 1}), kNothing);
}

// Shown by the sanitizer: sessions are gone by then, and nobody drops what they were in the middle
// of.
TEST_F(Memory, OfMessagesInArrivalEndsWithTheSpool) {
  for (const size_t octets : {0U, 15U, 100'000U}) {
    Gathering* gathering = keeper->spool->gather();
    ASSERT_NE(gathering, nullptr);
    ASSERT_TRUE(keeper->spool->gather_append(*gathering, std::string(octets, 'x')));
  }
  keeper->stop();
  ASSERT_TRUE(keeper->start());
  EXPECT_TRUE(keeper->found.empty());
}

TEST_F(Memory, GoesBackWhenMessagesEnd) {
  const std::vector<StoredHandle> kept = keep_many(300, 4'000);
  for (const StoredHandle message : kept) keeper->spool->finish(message);
  ASSERT_TRUE(keeper->settle());
  keeper->drive([] { return false; }, Milliseconds{100});
  EXPECT_LE(octets(), 300'000U);
  EXPECT_EQ(keeper->spool->counters().messages, 0U);
}

TEST_F(Memory, OfAMessageThatEndsWhileItIsReadIsNotLost) {
  const StoredHandle message = keeper->keep({.number = 1});
  const StoredHandle other = keeper->keep({.number = 2});
  const uint64_t id = keeper->spool->id(other).value;
  keeper->spool->evict(message);
  keeper->spool->load(message, 1);
  keeper->spool->finish(message);
  ASSERT_TRUE(keeper->settle());
  keeper->stop();
  ASSERT_TRUE(keeper->start());
  EXPECT_EQ(keeper->found.size(), 1U);
  EXPECT_TRUE(keeper->found.contains(id));
}

// Ten thousand clients that send a few octets each must not take the memory of all others.
TEST_F(Memory, OfAMessageThatHasHardlyBegunIsABlock) {
  const uint64_t before = octets();
  std::vector<Gathering*> gatherings;
  for (int i = 0; i < 100; ++i) {
    gatherings.push_back(keeper->spool->gather());
    ASSERT_NE(gatherings.back(), nullptr);
    ASSERT_TRUE(keeper->spool->gather_append(*gatherings.back(), "Subject: slow\r\n"));
  }
  EXPECT_LE(octets() - before, 100 * kBlock);
  for (Gathering* gathering : gatherings) keeper->spool->gather_drop(gathering);
  EXPECT_EQ(octets(), before);
}

TEST_F(Memory, OfAMessageThatComesInSmallPiecesHoldsAllOfIt) {
  for (const size_t size : {4'095U, 4'096U, 4'097U, 20'000U, 65'536U, 65'537U, 200'000U}) {
    const Letter letter{.number = size, .octets = size};
    const size_t before = keeper->done.size();
    const StoredHandle stored = keeper->store_gathered(letter, 100);
    ASSERT_NE(stored, kNothing);
    ASSERT_TRUE(keeper->drive([&] { return keeper->done.size() > before; }));
    EXPECT_EQ(keeper->wire(stored), letter.wire()) << size;
  }
}

}  // namespace
}  // namespace ringmta::spool
