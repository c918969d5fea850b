// SPDX-License-Identifier: GPL-3.0-or-later
// The ways of writing, on real file systems: past the page cache, through it, without durability,
// and on a file system in memory.
#include <filesystem>

#include "directory.h"

namespace ringmta::spool {
namespace {

struct Mode {
  const char* name;
  WriteMode write;
  DurabilityMode durability;
  bool in_memory;  // /dev/shm
};

class Modes : public SpoolTest, public ::testing::WithParamInterface<Mode> {
 protected:
  void SetUp() override {
    SpoolTest::SetUp();
    options.write_mode = GetParam().write;
    options.durability = GetParam().durability;
    if (GetParam().in_memory) {
      std::string pattern = "/dev/shm/ringmta-spool-XXXXXX";
      ASSERT_NE(mkdtemp(pattern.data()), nullptr);
      shared_memory = options.directory = pattern;
    }
  }
  void TearDown() override {
    if (!shared_memory.empty()) std::filesystem::remove_all(shared_memory);
    SpoolTest::TearDown();
  }
  std::string shared_memory;
};

TEST_P(Modes, KeepMail) {
  Keeper keeper(options);
  ASSERT_TRUE(keeper.start()) << keeper.error;
  std::map<uint64_t, Letter> kept;
  for (uint64_t i = 1; i <= 120; ++i) {
    const Letter letter{.number = i, .octets = i % 10 == 0 ? 90'000 : 200 + i * 61};
    const StoredHandle stored = keeper.keep(letter);
    ASSERT_NE(stored.index, UINT32_MAX);
    if (i % 3 == 0) {
      keeper.spool->finish(stored);
    } else {
      kept[keeper.spool->id(stored).value] = letter;
    }
  }
  if (GetParam().write == WriteMode::buffered) {
    EXPECT_FALSE(keeper.spool->counters().direct);
  }
  ASSERT_TRUE(keeper.settle());
  keeper.stop();
  ASSERT_TRUE(keeper.start()) << keeper.error;
  EXPECT_EQ(keeper.recovery->report().findings, std::vector<std::string>{});
  ASSERT_EQ(keeper.found.size(), kept.size());
  for (const auto& [id, letter] : kept) {
    ASSERT_TRUE(keeper.found.contains(id));
    keeper.done.clear();
    keeper.spool->load(keeper.found[id].handle, 1);
    ASSERT_TRUE(keeper.drive([&] { return !keeper.done.empty(); }));
    ASSERT_EQ(keeper.done[0].what, Done::What::loaded);
    EXPECT_EQ(keeper.wire(keeper.found[id].handle), letter.wire());
  }
  // Opened by the other way of writing.
  keeper.stop();
  keeper.options.write_mode =
      GetParam().write == WriteMode::buffered ? WriteMode::automatic : WriteMode::buffered;
  ASSERT_TRUE(keeper.start()) << keeper.error;
  EXPECT_EQ(keeper.found.size(), kept.size());
  EXPECT_NE(keeper.keep({.number = 1000}).index, UINT32_MAX);
}

INSTANTIATE_TEST_SUITE_P(
    All, Modes,
    ::testing::Values(Mode{"automatic", WriteMode::automatic, DurabilityMode::sync, false},
                      Mode{"buffered", WriteMode::buffered, DurabilityMode::sync, false},
                      Mode{"relaxed", WriteMode::automatic, DurabilityMode::relaxed, false},
                      Mode{"relaxed_buffered", WriteMode::buffered, DurabilityMode::relaxed, false},
                      Mode{"memory", WriteMode::automatic, DurabilityMode::sync, true},
                      Mode{"memory_buffered", WriteMode::buffered, DurabilityMode::sync, true}),
    [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace ringmta::spool
