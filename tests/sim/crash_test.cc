// SPDX-License-Identifier: GPL-3.0-or-later
// What a power failure and a kill leave of the files. Everything is tried with many seeds: what
// must be kept is kept in each, what may be lost is lost in some and kept in some.
#include <set>
#include <string>

#include "machine.h"

namespace ringmta::sim {
namespace {

using ring::Durability;
using ring::FileId;

constexpr int kSeeds = 100;
constexpr size_t kSectorOctets = 512;

WorldOptions seeded(int seed) {
  WorldOptions options;
  options.seed = static_cast<uint64_t>(seed);
  return options;
}

// An eight-sector text that shows which of its sectors are there.
const std::string kOld(8 * kSectorOctets, 'o');
const std::string kNew(8 * kSectorOctets, 'n');

// 'o' or 'n' a sector, '*' for a torn one.
std::string sectors(const std::string& content) {
  std::string result;
  for (size_t at = 0; at < content.size(); at += kSectorOctets) {
    const std::string sector = content.substr(at, kSectorOctets);
    const bool whole = sector.find_first_not_of(sector[0]) == std::string::npos;
    result += whole ? sector[0] : '*';
  }
  return result;
}

// What is found after `act` and a crash, over all seeds, in a file that held kOld durably.
template <typename Act>
std::set<std::string> found_after(Crash kind, Act act) {
  std::set<std::string> found;
  for (int seed = 0; seed < kSeeds; ++seed) {
    Machine machine(seeded(seed));
    const FileId file = machine.open("/spool/log");
    EXPECT_EQ(machine.write(file, kOld, 0, Durability::durable), 4096);
    act(machine, file);
    machine.crash(kind);
    found.insert(sectors(machine.content("/spool/log")));
  }
  return found;
}

TEST(PowerFailure, KeepsACompletedDurableWrite) {
  const auto found = found_after(Crash::power, [](Machine& machine, FileId file) {
    EXPECT_EQ(machine.write(file, kNew, 0, Durability::durable), 4096);
  });
  EXPECT_EQ(found, std::set<std::string>{"nnnnnnnn"});
}

TEST(PowerFailure, KeepsWhatWasSynced) {
  const auto found = found_after(Crash::power, [](Machine& machine, FileId file) {
    machine.write(file, kNew, 0, Durability::none);
    EXPECT_EQ(machine.sync(file), 0);
  });
  EXPECT_EQ(found, std::set<std::string>{"nnnnnnnn"});
}

TEST(PowerFailure, LosesAnySectorsOfAnUnsyncedWrite) {
  const auto found = found_after(Crash::power, [](Machine& machine, FileId file) {
    machine.write(file, kNew, 0, Durability::none);
  });
  EXPECT_GT(found.size(), 20U);
  for (const std::string& content : found) {
    EXPECT_EQ(content.size(), 8U);
    EXPECT_EQ(content.find_first_not_of("on"), std::string::npos) << content;
  }
}

TEST(PowerFailure, TearsADurableWriteInFlight) {
  const auto found = found_after(Crash::power, [](Machine& machine, FileId file) {
    machine.begin_write(file, kNew, 0, Durability::durable);
  });
  EXPECT_GT(found.size(), 20U);
  for (const std::string& content : found) {
    EXPECT_EQ(content.find_first_not_of("on"), std::string::npos) << content;
  }
}

TEST(PowerFailure, KeepsTheNeighboursOfATornWrite) {
  const auto found = found_after(Crash::power, [](Machine& machine, FileId file) {
    machine.begin_write(file, std::string_view(kNew).substr(0, 1024), 1024, Durability::durable);
  });
  EXPECT_EQ(found, (std::set<std::string>{"oooooooo", "oonooooo", "ooonoooo", "oonnoooo"}));
}

TEST(PowerFailure, OfADurableWriteKeepsOnlyItsOwnRange) {
  const auto found = found_after(Crash::power, [](Machine& machine, FileId file) {
    machine.write(file, std::string_view(kNew).substr(0, 512), 0, Durability::none);
    machine.write(file, std::string_view(kNew).substr(0, 512), 3584, Durability::durable);
  });
  EXPECT_EQ(found, (std::set<std::string>{"ooooooon", "noooooon"}));
}

TEST(PowerFailure, LosesWhatAFailedSyncShouldHaveKept) {
  const auto found = found_after(Crash::power, [](Machine& machine, FileId file) {
    machine.write(file, kNew, 0, Durability::none);
    machine.world.inject({.operation = DiskOperation::sync, .error = EIO});
    EXPECT_EQ(machine.sync(file), -EIO);
    EXPECT_EQ(machine.sync(file), 0);  // and says so, as Linux does
    machine.write(file, std::string_view(kNew).substr(0, 512), 0, Durability::durable);
  });
  EXPECT_EQ(found, std::set<std::string>{"nooooooo"});
}

TEST(PowerFailure, LosesOrKeepsGrowthThatWasNotSynced) {
  const auto found = found_after(Crash::power, [](Machine& machine, FileId file) {
    machine.write(file, std::string_view(kNew).substr(0, 512), 4096, Durability::none);
  });
  EXPECT_TRUE(found.contains("oooooooo"));
  EXPECT_TRUE(found.contains("oooooooon"));
  EXPECT_EQ(found.size(), 3U);  // or the size without the octets
}

TEST(PowerFailure, LosesOrKeepsANameThatWasNeverSynced) {
  std::set<std::string> found;
  for (int seed = 0; seed < kSeeds; ++seed) {
    Machine machine(seeded(seed));
    machine.open("/spool/new");
    machine.crash(Crash::power);
    const auto names = ring::disk::list("/spool");
    ASSERT_TRUE(names.has_value());
    found.insert(names->begin(), names->end());
    if (names->empty()) found.insert("");
  }
  EXPECT_EQ(found, (std::set<std::string>{"", "new"}));
}

TEST(PowerFailure, KeepsTheNameOfASyncedFile) {
  for (int seed = 0; seed < kSeeds; ++seed) {
    Machine machine(seeded(seed));
    machine.write(machine.open("/spool/new"), "x", 0, Durability::durable);
    machine.crash(Crash::power);
    ASSERT_EQ(machine.content("/spool/new"), "x");
  }
}

TEST(PowerFailure, KeepsWhatTheBlockingCallsDid) {
  for (int seed = 0; seed < kSeeds; ++seed) {
    Machine machine(seeded(seed));
    ASSERT_TRUE(ring::disk::write("/spool/a", as_bytes("first")));
    ASSERT_TRUE(ring::disk::write("/spool/a", as_bytes("second")));
    ASSERT_TRUE(ring::disk::write("/spool/b", as_bytes("01234")));
    ASSERT_TRUE(ring::disk::overwrite("/spool/b", 1, as_bytes("xx")));
    ASSERT_TRUE(ring::disk::rename("/spool/b", "/spool/c"));
    ASSERT_TRUE(ring::disk::write("/spool/d", as_bytes("gone")));
    ASSERT_TRUE(ring::disk::remove("/spool/d"));
    machine.crash(Crash::power);
    ASSERT_EQ(*ring::disk::list("/spool"), (std::vector<std::string>{"a", "c"}));
    ASSERT_EQ(machine.content("/spool/a"), "second");
    ASSERT_EQ(machine.content("/spool/c"), "0xx34");
  }
}

TEST(Kill, KeepsEverythingWritten) {
  const auto found = found_after(Crash::process, [](Machine& machine, FileId file) {
    machine.write(file, kNew, 0, Durability::none);
  });
  EXPECT_EQ(found, std::set<std::string>{"nnnnnnnn"});
}

TEST(Kill, LeavesAWriteInFlightDoneOrNotDone) {
  const auto found = found_after(Crash::process, [](Machine& machine, FileId file) {
    machine.begin_write(file, kNew, 0, Durability::none);
  });
  EXPECT_EQ(found, (std::set<std::string>{"nnnnnnnn", "oooooooo"}));
}

TEST(Kill, DoesNotMakeDurableWhatWasNot) {
  const auto found = found_after(Crash::power, [](Machine& machine, FileId file) {
    machine.write(file, kNew, 0, Durability::none);
    machine.crash(Crash::process);
  });
  EXPECT_GT(found.size(), 20U);
}

TEST(Crash, SilencesTheIo) {
  Machine machine;
  const FileId file = machine.open("/spool/log");
  machine.begin_write(file, kNew, 0, Durability::durable);
  machine.io->ring_doorbell();
  ring::Io* dead[] = {machine.io.get()};
  machine.world.crash(dead, Crash::power);
  machine.world.advance();
  EXPECT_TRUE(machine.io->turn(Monotonic::never()).empty());
  machine.begin_write(file, kNew, 0, Durability::durable);
  machine.io->sync_file(file, {});
  machine.io->close_file(file);
  EXPECT_FALSE(machine.io->open_file("/spool/log", ring::OpenMode::read).has_value());
  EXPECT_TRUE(machine.io->turn(Monotonic::never()).empty());
}

TEST(Crash, GivesUpTheLocks) {
  Machine machine;
  ASSERT_TRUE(ring::disk::lock_directory("/spool"));
  ASSERT_FALSE(ring::disk::lock_directory("/spool"));
  machine.crash(Crash::process);
  EXPECT_TRUE(ring::disk::lock_directory("/spool"));
  machine.world.release_locks();
  EXPECT_TRUE(ring::disk::lock_directory("/spool"));
}

}  // namespace
}  // namespace ringmta::sim
