// SPDX-License-Identifier: GPL-3.0-or-later
// The clock of the World: moved by nobody but step() and advance(), to what comes next.
#include "machine.h"
#include "ringmta/shard/loop.h"

namespace ringmta::sim {
namespace {

TEST(Time, StandsStillWhileTurned) {
  Machine machine;
  const Monotonic before = machine.world.now();
  for (int i = 0; i < 10; ++i) machine.io->turn(Monotonic::never());
  EXPECT_EQ(machine.world.now(), before);
  EXPECT_EQ(machine.io->now(), before);
}

TEST(Time, MovesToWhatAnIoWaitsFor) {
  Machine machine;
  const Monotonic wanted = machine.io->now() + hours(30);
  machine.io->turn(wanted);
  EXPECT_TRUE(machine.world.advance());
  EXPECT_EQ(machine.world.now(), wanted);
}

TEST(Time, MovesNotBeyondTheLimit) {
  Machine machine;
  const Monotonic start = machine.io->now();
  machine.io->turn(start + hours(30));
  EXPECT_FALSE(machine.world.advance(start + hours(1)));
  EXPECT_EQ(machine.world.now(), start + hours(1));
}

TEST(Time, EndsWhenNobodyWaitsForAnything) {
  Machine machine;
  machine.io->turn(Monotonic::never());
  EXPECT_FALSE(machine.world.advance());
}

TEST(Time, OfTheWallFollowsAndCanBeStepped) {
  Machine machine;
  const WallTime before = machine.world.wall();
  machine.io->turn(machine.io->now() + seconds(5));
  machine.world.advance();
  EXPECT_EQ(machine.world.wall() - before, seconds(5));
  machine.world.step_wall_clock(hours(-1));
  machine.io->turn(Monotonic::never());
  EXPECT_EQ(machine.io->wall() - before, seconds(5) - hours(1));
}

void turn_loop(void* self) { static_cast<shard::Loop*>(self)->turn(); }

struct TimedLoop {
  explicit TimedLoop(World& in) : world(in), io(*ring::Io::create({})), loop(*io) {
    loop.handle(shard::Owner::test, this, [](void* self, const ring::Event& event) {
      auto& timed = *static_cast<TimedLoop*>(self);
      timed.fired.push_back(timed.loop.now());
      timed.last = event.kind;
    });
    world.drive(*io, &loop, turn_loop);
  }
  World& world;
  std::unique_ptr<ring::Io> io;
  shard::Loop loop;
  std::vector<Monotonic> fired;
  ring::EventKind last = ring::EventKind::mail;
};

TEST(Time, FiresTheTimersOfALoopThatHasNothingElse) {
  World world;
  TimedLoop shard(world);
  ring::Timer timer{{}, {}, ring::Token::make(shard::kind(shard::Owner::test))};
  const Monotonic due = world.now() + hours(5);
  shard.loop.timers().arm(timer, due);
  EXPECT_TRUE(world.run_until([&] { return !shard.fired.empty(); }, hours(6)));
  EXPECT_GE(shard.fired[0], due);
  EXPECT_LE(shard.fired[0], due + Milliseconds{4});
  EXPECT_EQ(shard.last, ring::EventKind::timer);
}

TEST(Time, OfRunUntilIsLimited) {
  World world;
  TimedLoop shard(world);
  ring::Timer timer{{}, {}, ring::Token::make(shard::kind(shard::Owner::test))};
  shard.loop.timers().arm(timer, world.now() + hours(5));
  EXPECT_FALSE(world.run_until([&] { return !shard.fired.empty(); }, hours(4)));
  EXPECT_TRUE(world.run_until([&] { return !shard.fired.empty(); }, hours(4)));
}

// Two shards that do nothing but send one letter to and fro, each asleep in between.
struct PingPong {
  shard::Mailbox<int> inbox{4};
  TimedLoop shard;
  PingPong* other = nullptr;
  int seen = 0;
  explicit PingPong(World& world) : shard(world) {
    shard.loop.add_stage(this, [](void* self) {
      auto& mine = *static_cast<PingPong*>(self);
      int letter = 0;
      while (mine.inbox.pop(letter)) {
        mine.seen = letter;
        mine.other->deliver(letter + 1);
      }
      return false;
    });
  }
  void deliver(int letter) {
    ASSERT_TRUE(inbox.push(letter));
    if (shard.loop.doorbell().must_ring()) shard.io->ring_doorbell();
  }
};

TEST(Time, IsNotNeededForLettersBetweenShards) {
  World world;
  PingPong one(world);
  PingPong two(world);
  one.other = &two;
  two.other = &one;
  one.deliver(1);
  const Monotonic before = world.now();
  EXPECT_TRUE(world.run_until([&] { return one.seen > 1000; }, seconds(1)));
  EXPECT_EQ(world.now(), before);
}

TEST(Time, ThatCannotPassIsABug) {
  World world;
  std::unique_ptr<ring::Io> io = *ring::Io::create({});
  world.drive(*io, io.get(), [](void* self) { static_cast<ring::Io*>(self)->turn({}); });
  EXPECT_DEATH(world.run_for(seconds(1)), "steps_at_this_time");
}

}  // namespace
}  // namespace ringmta::sim
