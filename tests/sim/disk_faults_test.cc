// SPDX-License-Identifier: GPL-3.0-or-later
// A disk that is full, that fails, that answers short, and one that takes its time.
#include <cerrno>
#include <string>

#include "machine.h"

namespace ringmta::sim {
namespace {

using ring::Durability;
using ring::FileId;

TEST(DiskFault, StrikesTheNthWriteOnly) {
  Machine machine;
  const FileId file = machine.open("/spool/log");
  machine.world.inject({.operation = DiskOperation::write, .nth = 2, .error = EIO});
  EXPECT_EQ(machine.write(file, "one", 0, Durability::durable), 3);
  EXPECT_EQ(machine.write(file, "two", 3, Durability::durable), -EIO);
  EXPECT_EQ(machine.write(file, "two", 3, Durability::durable), 3);
}

TEST(DiskFault, OfAWriteMayLeavePartsOfIt) {
  size_t untouched = 0;
  size_t changed = 0;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    WorldOptions options;
    options.seed = seed;
    Machine machine(options);
    const FileId file = machine.open("/spool/log");
    machine.write(file, "oooo", 0, Durability::durable);
    machine.world.inject({.operation = DiskOperation::write, .error = EIO});
    EXPECT_EQ(machine.write(file, "nnnn", 0, Durability::durable), -EIO);
    ++(machine.content("/spool/log") == "oooo" ? untouched : changed);
  }
  EXPECT_GT(untouched, 0U);
  EXPECT_GT(changed, 0U);
}

TEST(DiskFault, StrikesReads) {
  Machine machine;
  const FileId file = machine.open("/spool/log");
  machine.write(file, "hello", 0, Durability::durable);
  machine.world.inject({.operation = DiskOperation::read, .error = EIO});
  machine.world.inject({.operation = DiskOperation::read, .nth = 2, .short_octets = 2});
  std::string text(5, '?');
  EXPECT_EQ(machine.read(file, text, 0), -EIO);
  EXPECT_EQ(machine.read(file, text, 0), 2);
  EXPECT_EQ(text, "he???");
  EXPECT_EQ(machine.read(file, text, 0), 5);
}

TEST(DiskFault, MakesAWriteShort) {
  Machine machine;
  const FileId file = machine.open("/spool/log");
  machine.world.inject({.operation = DiskOperation::write, .short_octets = 3});
  EXPECT_EQ(machine.write(file, "hello", 0, Durability::durable), 3);
  EXPECT_EQ(machine.content("/spool/log"), "hel");
}

TEST(DiskFault, StrikesAllocations) {
  Machine machine;
  const FileId file = machine.open("/spool/log");
  machine.world.inject({.operation = DiskOperation::allocate, .error = EIO});
  machine.io->allocate_file(file, 100, {});
  EXPECT_EQ(machine.result(), -EIO);
}

TEST(DiskFault, StrikesOnlyTheFilesMeant) {
  Machine machine;
  const FileId other = machine.open("/spool/other");
  const FileId meant = machine.open("/spool/segment-7");
  machine.world.inject(
      {.operation = DiskOperation::write, .error = EIO, .path_contains = "segment-"});
  EXPECT_EQ(machine.write(other, "x", 0, Durability::none), 1);
  EXPECT_EQ(machine.write(meant, "x", 0, Durability::none), -EIO);
}

TEST(FullDisk, WritesWhatFitsAndThenNothing) {
  WorldOptions options;
  options.disk.capacity_octets = 10;
  Machine machine(options);
  const FileId file = machine.open("/spool/log");
  EXPECT_EQ(machine.write(file, "12345678", 0, Durability::durable), 8);
  EXPECT_EQ(machine.write(file, "12345678", 8, Durability::durable), 2);
  EXPECT_EQ(machine.write(file, "12345678", 10, Durability::durable), -ENOSPC);
  EXPECT_EQ(*ring::disk::free_bytes("/spool"), 0U);
  EXPECT_EQ(ring::disk::write("/spool/f", as_bytes("x")).error().code, ENOSPC);
  EXPECT_EQ(machine.world.disk_octets_used(), 10U);
}

TEST(FullDisk, TakesOverwritesOfWhatIsThere) {
  WorldOptions options;
  options.disk.capacity_octets = 10;
  Machine machine(options);
  const FileId file = machine.open("/spool/log");
  machine.io->allocate_file(file, 10, {});
  ASSERT_EQ(machine.result(), 0);
  EXPECT_EQ(machine.write(file, "0123456789", 0, Durability::durable), 10);
  machine.io->allocate_file(file, 11, {});
  EXPECT_EQ(machine.result(), -ENOSPC);
}

TEST(FullDisk, HasRoomAgainAfterARemoval) {
  WorldOptions options;
  options.disk.capacity_octets = 10;
  Machine machine(options);
  ASSERT_TRUE(ring::disk::write("/spool/f", as_bytes("0123456789")));
  const FileId file = machine.open("/spool/log");
  EXPECT_EQ(machine.write(file, "x", 0, Durability::durable), -ENOSPC);
  ASSERT_TRUE(ring::disk::remove("/spool/f"));
  EXPECT_EQ(machine.write(file, "x", 0, Durability::durable), 1);
}

TEST(SlowDisk, TakesTheTimeItWasGiven) {
  WorldOptions options;
  options.disk.latency_us_min = options.disk.latency_us_max = 7'000;
  Machine machine(options);
  const FileId file = machine.open("/spool/log");
  const Monotonic start = machine.world.now();
  machine.write(file, "x", 0, Durability::durable);
  EXPECT_EQ((machine.world.now() - start).count, 7);
}

TEST(SlowDisk, ReadsTheWritersMemoryOnlyWhenItsTimeHasCome) {
  Machine machine;
  const FileId file = machine.open("/spool/log");
  std::string text = "early";
  machine.begin_write(file, text, 0, Durability::durable);
  text = "later";  // a bug in an owner; here it shows
  machine.result();
  EXPECT_EQ(machine.content("/spool/log"), "later");
}

}  // namespace
}  // namespace ringmta::sim
