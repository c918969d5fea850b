// SPDX-License-Identifier: GPL-3.0-or-later
// Power failures and kills at any moment, on disks that fail, again and again in the same
// directory: what was promised holds, and no damage is reported where none was done.
#include <cerrno>
#include <cstdlib>

#include "directory.h"
#include "model.h"

namespace ringmta::spool {
namespace {

constexpr uint64_t kSeeds = 100;  // of each test; SPOOL_SEEDS asks for more, SPOOL_SEED for one

struct Plan {
  bool faults = false;  // writes and syncs fail, or end short
  bool full = false;    // the disk has little room
  uint64_t memory_max = 1ULL << 30;
};

void inject(sim::World& world, Prng& random) {
  sim::DiskFault fault;
  const uint64_t dice = random.below(4);
  fault.operation = dice == 0   ? sim::DiskOperation::sync
                    : dice == 1 ? sim::DiskOperation::read
                                : sim::DiskOperation::write;
  fault.nth = 1 + random.below(30);
  if (random.below(2) == 0 && fault.operation != sim::DiskOperation::sync) {
    fault.short_octets = random.below(16) * 512;
  } else {
    fault.error = EIO;
  }
  world.inject(fault);
}

void no_damage(const Recovery::Report& report) {
  EXPECT_EQ(report.quarantined_records, 0U);
  EXPECT_EQ(report.quarantined_segments, 0U);
  for (const std::string& finding : report.findings) {
    EXPECT_NE(finding.find("was being written"), std::string::npos) << finding;
  }
}

SpoolCounters total;

void add(const SpoolCounters& counters) {
  total.recycled_segments += counters.recycled_segments;
  total.checkpoints += counters.checkpoints;
  total.compacted_messages += counters.compacted_messages;
  total.evictions += counters.evictions;
  total.write_errors += counters.write_errors;
}

void run_one(uint64_t seed, const Plan& plan) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  sim::WorldOptions world_options;
  world_options.seed = seed;
  Prng choice(seed + 1'000'003);
  if (plan.full) world_options.disk.capacity_octets = 2'000'000 + choice.below(2'000'000);
  sim::World world(world_options);
  SpoolOptions options;
  options.directory = "/spool";
  options.segment_size = 262'144;
  options.segments_ready = 1 + static_cast<uint32_t>(choice.below(2));
  options.disk_reserve = 0;
  options.memory_max = plan.memory_max;
  options.batch_max = choice.below(2) == 0 ? 1'048'576 : 16'384;
  Keeper keeper(options);
  Model model(keeper, seed);
  const uint64_t rounds = 2 + choice.below(4);
  for (uint64_t round = 0; round < rounds; ++round) {
    ASSERT_TRUE(keeper.start()) << keeper.error;
    no_damage(keeper.recovery->report());
    model.compare();
    if (::testing::Test::HasFatalFailure()) return;
    const uint64_t turns = choice.below(600);
    for (uint64_t turn = 0; turn < turns; ++turn) {
      const uint64_t actions = choice.below(6);
      for (uint64_t i = 0; i < actions; ++i) model.act();
      if (plan.faults && choice.below(100) == 0) inject(world, choice);
      keeper.turn(Milliseconds{static_cast<int64_t>(choice.below(20))});
      if (choice.below(60) == 0) {  // long enough that what is mostly dead is compacted
        const Monotonic end = keeper.io->now() + seconds(static_cast<int64_t>(choice.below(12)));
        while (keeper.io->now() < end) keeper.turn(seconds(1));
      }
      model.listen();
      if (::testing::Test::HasFatalFailure()) return;
    }
    add(keeper.spool->counters());
    ring::Io* dead[] = {keeper.io.get()};
    world.crash(dead, choice.below(3) == 0 ? sim::Crash::process : sim::Crash::power);
    keeper.stop();
    keeper.done.clear();
  }
  ASSERT_TRUE(keeper.start()) << keeper.error;
  no_damage(keeper.recovery->report());
  model.compare();
  if (::testing::Test::HasFatalFailure()) return;
  ASSERT_TRUE(model.read_all());
  model.finish_all();
  EXPECT_TRUE(keeper.settle());
  total.stored += model.committed;
}

void run(const Plan& plan) {
  total = {};
  const char* only = std::getenv("SPOOL_SEED");
  if (only != nullptr) return run_one(std::strtoull(only, nullptr, 10), plan);
  const char* more = std::getenv("SPOOL_SEEDS");
  const uint64_t seeds = more == nullptr ? kSeeds : std::strtoull(more, nullptr, 10);
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    run_one(seed, plan);
    if (::testing::Test::HasFailure()) return;
  }
  // The seeds led through all of it.
  EXPECT_GT(total.stored, 100 * seeds);
  EXPECT_GT(total.recycled_segments, seeds);
  EXPECT_GT(total.checkpoints, 0U);
  EXPECT_GT(total.compacted_messages, 0U);
  EXPECT_GT(total.evictions, 0U);
  EXPECT_EQ(total.write_errors > 0, plan.faults);
}

TEST(Crash, LosesNothing) { run({}); }
TEST(Crash, LosesNothingWithLittleMemory) { run({.memory_max = 600'000}); }
TEST(Crash, LosesNothingOnAFailingDisk) { run({.faults = true}); }
TEST(Crash, LosesNothingOnAFullDisk) { run({.full = true, .memory_max = 1'000'000}); }
TEST(Crash, LosesNothingOnAFullAndFailingDisk) { run({.faults = true, .full = true}); }

}  // namespace
}  // namespace ringmta::spool
