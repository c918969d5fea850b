// SPDX-License-Identifier: GPL-3.0-or-later
// Damaged spools: flipped bits, cut files, missing ones, strange ones. A start says what it found,
// keeps what is whole, sets the rest aside, and the next start has nothing new to say.
#include <functional>

#include "directory.h"
#include "ringmta/base/prng.h"

namespace ringmta::spool {
namespace {

// A real disk is slow, and nothing here depends on which it is.
#ifdef RINGMTA_SIMULATED
constexpr int kRounds = 60;
#else
constexpr int kRounds = 3;
#endif

class Damage : public SpoolTest {
 protected:
  void SetUp() override {
    SpoolTest::SetUp();
    options.segment_size = 262'144;
    keeper = std::make_unique<Keeper>(options);
  }
  // So many batches of four messages each; all of them wait.
  void fill(int batches) {
    ASSERT_TRUE(keeper->start()) << keeper->error;
    uint64_t number = 0;
    for (int batch = 0; batch < batches; ++batch) {
      const size_t before = keeper->done.size();
      for (int i = 0; i < 4; ++i) {
        const Letter letter{.number = ++number, .octets = 3'000};
        const StoredHandle stored = keeper->store(letter);
        letters[keeper->spool->id(stored).value] = letter;
      }
      ASSERT_TRUE(keeper->drive([&] { return keeper->done.size() == before + 4; }));
    }
    ASSERT_TRUE(keeper->settle());
    ASSERT_TRUE(keeper->drive(
        [&] { return keeper->spool->counters().segments_free == options.segments_ready + 1; }));
    keeper->drive([] { return false; }, Milliseconds{100});
    keeper->stop();
    keeper->done.clear();
  }
  std::string segment(int count) {
    return directory + "/segment-000-00000" + std::to_string(count);
  }
  void change(const std::string& path, uint64_t offset, std::byte bits) {
    const uint64_t block = offset / 4096 * 4096;
    auto octets = ring::disk::read(path, block, 4096);
    ASSERT_TRUE(octets.has_value() && octets->size() == 4096);
    (*octets)[offset - block] ^= bits;
    ASSERT_TRUE(ring::disk::overwrite(path, block, *octets));
  }
  void zero(const std::string& path, uint64_t offset, uint64_t length) {
    ASSERT_TRUE(ring::disk::overwrite(path, offset, std::vector<std::byte>(length)));
  }
  void cut(const std::string& path, uint64_t length) {
    const auto octets = ring::disk::read(path, 0, length);
    ASSERT_TRUE(octets.has_value());
    ASSERT_TRUE(ring::disk::write(path, *octets));
  }
  // Starts, reads everything that is found and compares it; the number of letters missing.
  size_t restart() {
    EXPECT_TRUE(keeper->start()) << keeper->error;
    size_t found = 0;
    for (const auto& [id, one] : keeper->found) {
      EXPECT_TRUE(letters.contains(id));
      EXPECT_EQ(one.sender, letters[id].sender());
      keeper->done.clear();
      keeper->spool->load(one.handle, 1);
      EXPECT_TRUE(keeper->drive([&] { return !keeper->done.empty(); }));
      EXPECT_EQ(keeper->done[0].what, Done::What::loaded);
      EXPECT_EQ(keeper->wire(one.handle), letters[id].wire());
      ++found;
    }
    return letters.size() - found;
  }
  const Recovery::Report& report() { return keeper->recovery->report(); }
  bool said(const std::string& what) {
    for (const std::string& finding : report().findings) {
      if (finding.find(what) != std::string::npos) return true;
    }
    std::string all;
    for (const std::string& finding : report().findings) all += finding + "\n";
    ADD_FAILURE() << "not said: " << what << "\nbut: " << all;
    return false;
  }
  // What was said once is not said again, and what was kept is still there.
  void nothing_new(size_t missing) {
    keeper->stop();
    EXPECT_EQ(restart(), missing);
    for (const std::string& finding : report().findings) ADD_FAILURE() << finding;
    EXPECT_EQ(report().quarantined_records, 0U);
    EXPECT_EQ(report().torn_tails, 0U);
  }
  size_t quarantined() {
    const auto names = ring::disk::list(directory + "/quarantine");
    return names ? names->size() : 0;
  }

  std::unique_ptr<Keeper> keeper;
  std::map<uint64_t, Letter> letters;
};

TEST_F(Damage, IsNotFoundWhereThereIsNone) {
  fill(40);
  EXPECT_EQ(restart(), 0U);
  EXPECT_TRUE(report().findings.empty());
  EXPECT_EQ(quarantined(), 0U);
}

TEST_F(Damage, OfAContentCostsThatMessageOnly) {
  fill(10);
  change(segment(1), 4096 + 5'000, std::byte{4});
  EXPECT_EQ(restart(), 1U);
  EXPECT_EQ(report().quarantined_records, 1U);
  EXPECT_EQ(report().torn_tails, 0U);
  EXPECT_TRUE(said("segment-000-000001 is damaged from 4096"));
  EXPECT_EQ(quarantined(), 1U);
  nothing_new(1);
}

TEST_F(Damage, OfABatchHeaderCostsNothing) {
  fill(10);
  change(segment(1), 4096 + 20, std::byte{1});
  EXPECT_EQ(restart(), 0U);
  EXPECT_TRUE(said("is damaged from 4096"));
  nothing_new(0);
}

TEST_F(Damage, OfARecordHeaderCostsThatRecordOnly) {
  fill(10);
  change(segment(1), 4096 + 64 + 4, std::byte{1});
  EXPECT_EQ(restart(), 1U);
  EXPECT_EQ(report().quarantined_records, 1U);
  nothing_new(1);
}

TEST_F(Damage, OfAWholeBlockCostsWhatLayInIt) {
  fill(10);
  zero(segment(1), 8192, 4096);
  const size_t missing = restart();
  EXPECT_GE(missing, 1U);
  EXPECT_LE(missing, 3U);
  EXPECT_GE(report().quarantined_records, 1U);
  nothing_new(missing);
}

TEST_F(Damage, OfASegmentHeaderCostsNothing) {
  fill(10);
  change(segment(1), 9, std::byte{1});
  EXPECT_EQ(restart(), 0U);
  EXPECT_TRUE(report().findings.empty()) << "there is a copy of it";
  keeper->stop();
  zero(segment(1), 0, 4096);
  EXPECT_EQ(restart(), 0U);
  EXPECT_TRUE(said("has lost its header"));
  nothing_new(0);
}

TEST_F(Damage, OfTheLastBatchIsATornTail) {
  fill(5);
  const uint64_t last = 4096 + 4 * 16'384;
  change(segment(1), last + 9'000, std::byte{1});
  EXPECT_EQ(restart(), 1U);
  EXPECT_EQ(report().torn_tails, 1U);
  EXPECT_EQ(report().quarantined_records, 0U);
  EXPECT_TRUE(said("was being written"));
  nothing_new(1);
}

// The next segment tells up to where a full one was acknowledged.
TEST_F(Damage, OfTheLastBatchOfAFullSegmentIsDamage) {
  fill(30);
  ASSERT_TRUE(ring::disk::size(segment(2)).has_value());
  uint64_t last = 4096;
  while (last + 2 * 16'384 <= options.segment_size) last += 16'384;
  change(segment(1), last + 9'000, std::byte{1});
  EXPECT_EQ(restart(), 1U);
  EXPECT_EQ(report().torn_tails, 0U);
  EXPECT_EQ(report().quarantined_records, 1U);
  nothing_new(1);
}

TEST_F(Damage, OfAllItsLastBatchesIsSeen) {
  fill(30);
  zero(segment(1), 131'072 + 4096, options.segment_size - 131'072 - 4096);
  const size_t missing = restart();
  EXPECT_GT(missing, 20U);
  EXPECT_GT(report().quarantined_records, 0U);
  EXPECT_TRUE(said("batches that were acknowledged there are gone"));
  nothing_new(missing);
}

TEST_F(Damage, ByACutIsSaid) {
  fill(30);
  cut(segment(1), 100'000);
  const size_t missing = restart();
  EXPECT_GT(missing, 20U);
  EXPECT_LT(missing, 64U);
  EXPECT_TRUE(said("segment-000-000001 is cut: it has 100000 octets"));
  EXPECT_EQ(report().torn_tails, 0U);
  // It stays cut, so it is said again, but nothing else is.
  keeper->stop();
  EXPECT_EQ(restart(), missing);
}

TEST_F(Damage, ByALostFileIsSaid) {
  fill(60);
  ASSERT_TRUE(ring::disk::remove(segment(2)));
  EXPECT_GT(restart(), 30U);
  EXPECT_TRUE(said("segment-000-000002 is missing"));
}

TEST_F(Damage, ByLostFilesIsSaidOnce) {
  fill(100);
  for (int count = 2; count <= 4; ++count) ASSERT_TRUE(ring::disk::remove(segment(count)));
  EXPECT_GT(restart(), 90U);
  EXPECT_TRUE(said("segment-000-000002 to segment-000-000004 are missing"));
  EXPECT_EQ(report().findings.size(), 1U);
}

// The next segment, which would tell, is gone as well.
TEST_F(Damage, ByACutIsNoTornTail) {
  fill(60);
  cut(segment(1), 100'000);
  ASSERT_TRUE(ring::disk::remove(segment(2)));
  restart();
  EXPECT_EQ(report().torn_tails, 0U);
  EXPECT_GT(report().quarantined_records, 0U);
}

TEST_F(Damage, ByAStrangeFileWithAFarNumberIsNoGap) {
  fill(5);
  const std::string strange = directory + "/segment-000-000999";
  ASSERT_TRUE(ring::disk::write(strange, std::vector<std::byte>(50'000, std::byte{0x5A})));
  EXPECT_EQ(restart(), 0U);
  EXPECT_TRUE(said("no segment that can be understood"));
  EXPECT_EQ(report().findings.size(), 1U);
  nothing_new(0);
}

TEST_F(Damage, ByAStrangeFileIsSetAside) {
  fill(5);
  std::vector<std::byte> garbage(50'000, std::byte{0x5A});
  ASSERT_TRUE(ring::disk::write(segment(9), garbage));
  EXPECT_EQ(restart(), 0U);
  EXPECT_EQ(report().quarantined_segments, 1U);
  EXPECT_TRUE(said("no segment that can be understood"));
  EXPECT_EQ(quarantined(), 1U);
  EXPECT_EQ(*ring::disk::size(directory + "/quarantine/segment-000-000009-unknown"), 50'000U);
}

TEST_F(Damage, OfOtherFilesIsNotOurs) {
  fill(5);
  ASSERT_TRUE(ring::disk::write(directory + "/notes.txt", as_bytes("hello")));
  ASSERT_TRUE(ring::disk::write(directory + "/segment-1", as_bytes("hello")));
  EXPECT_EQ(restart(), 0U);
  EXPECT_TRUE(report().findings.empty());
  EXPECT_EQ(*ring::disk::size(directory + "/notes.txt"), 5U);
}

// Any bit anywhere: never a crash, never a wrong octet, and all messages but those of one block.
TEST_F(Damage, OfAnyBitIsBounded) {
  fill(12);
  const uint64_t end = 4096 + 12 * 16'384;
  const auto whole = ring::disk::read(segment(1), 0, UINT64_MAX);
  ASSERT_TRUE(whole.has_value());
  Prng random(7);
  for (int round = 0; round < kRounds; ++round) {
    ASSERT_TRUE(ring::disk::overwrite(segment(1), 0, *whole));
    const auto bit = static_cast<uint8_t>(1U << random.below(8));
    change(segment(1), random.below(end), std::byte{bit});
    EXPECT_LE(restart(), 1U) << "round " << round;
    keeper->stop();
  }
}

// Several places at once, and garbage in them.
TEST_F(Damage, OfManyBlocksNeverGivesOutWrongOctets) {
  fill(12);
  const auto whole = ring::disk::read(segment(1), 0, UINT64_MAX);
  ASSERT_TRUE(whole.has_value());
  Prng random(11);
  for (int round = 0; round < kRounds; ++round) {
    std::vector<std::byte> damaged = *whole;
    for (int hit = 0; hit < 5; ++hit) {
      const uint64_t at = random.below(48) * 4096 + random.below(8) * 512;
      for (uint64_t i = 0; i < 512; ++i) {
        damaged[at + i] = hit % 2 == 0 ? std::byte{0} : static_cast<std::byte>(random.next());
      }
    }
    ASSERT_TRUE(ring::disk::overwrite(segment(1), 0, damaged));
    EXPECT_LE(restart(), 15U) << "round " << round;
    keeper->stop();
  }
}

}  // namespace
}  // namespace ringmta::spool
