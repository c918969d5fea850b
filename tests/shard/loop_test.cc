// SPDX-License-Identifier: GPL-3.0-or-later
// The loop on a real ring: timers, stages, sleeping and being woken by other threads.
#include "ringmta/shard/loop.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <thread>
#include <vector>

namespace ringmta::shard {
namespace {

struct LoopTest : ::testing::Test {
  void SetUp() override {
    alarm(50);
    ring::IoOptions options;
    options.entries = 64;
    options.receive_buffers = 16;
    options.streams_max = 16;
    options.doorbell = ring::Token::make(kind(Owner::loop));
    Result<std::unique_ptr<ring::Io>> made = ring::Io::create(options);
    ASSERT_TRUE(made.has_value()) << made.error().message;
    io = std::move(*made);
    loop = std::make_unique<Loop>(*io);
  }
  void TearDown() override { alarm(0); }

  std::unique_ptr<ring::Io> io;
  std::unique_ptr<Loop> loop;
};

struct Seen {
  Loop* loop = nullptr;
  std::vector<ring::EventKind> kinds;
  std::vector<uint32_t> numbers;
  static void note(void* self, const ring::Event& event) {
    auto& seen = *static_cast<Seen*>(self);
    seen.kinds.push_back(event.kind);
    seen.numbers.push_back(event.token.index());
  }
};

TEST_F(LoopTest, HandsDueTimersToTheirOwnerInOrder) {
  Seen seen;
  loop->handle(Owner::test, &seen, &Seen::note);
  ring::Timer late{{}, {}, ring::Token::make(kind(Owner::test), 2)};
  ring::Timer early{{}, {}, ring::Token::make(kind(Owner::test), 1)};
  loop->timers().arm(late, loop->now() + Milliseconds{30});
  loop->timers().arm(early, loop->now() + Milliseconds{10});
  while (seen.numbers.size() < 2) loop->turn();
  EXPECT_EQ(seen.numbers, (std::vector<uint32_t>{1, 2}));
  EXPECT_EQ(seen.kinds[0], ring::EventKind::timer);
  EXPECT_GE(loop->now(), late.due);
}

TEST_F(LoopTest, SleepsNoLongerThanItsCallerAllows) {
  const Monotonic until = loop->now() + Milliseconds{20};
  while (loop->now() < until) loop->turn(until);
  SUCCEED();
}

TEST_F(LoopTest, RunsStagesInTheOrderTheyWereAdded) {
  std::vector<int> order;
  struct Stage {
    std::vector<int>* order;
    int number;
    static bool run(void* self) {
      auto& stage = *static_cast<Stage*>(self);
      stage.order->push_back(stage.number);
      return false;
    }
  };
  Stage first{&order, 1};
  Stage second{&order, 2};
  loop->add_stage(&first, &Stage::run);
  loop->add_stage(&second, &Stage::run);
  loop->turn(loop->now());
  ASSERT_GE(order.size(), 2U);
  for (size_t i = 0; i < order.size(); ++i) EXPECT_EQ(order[i], i % 2 == 0 ? 1 : 2);
}

TEST_F(LoopTest, DoesNotSleepWhileAStageHasMoreToDo) {
  struct Work {
    int left = 100;
    static bool run(void* self) { return --static_cast<Work*>(self)->left > 0; }
  };
  Work work;
  loop->add_stage(&work, &Work::run);
  while (work.left > 0) loop->turn();  // a sleep would last for ever: the alarm
  EXPECT_EQ(work.left, 0);
}

TEST_F(LoopTest, BoundsTheTimersOfOneTurn) {
  Seen seen;
  loop->handle(Owner::test, &seen, &Seen::note);
  std::vector<ring::Timer> timers(10'000);
  for (ring::Timer& timer : timers) {
    timer.token = ring::Token::make(kind(Owner::test));
    loop->timers().arm(timer, loop->now());
  }
  loop->turn();
  EXPECT_EQ(seen.numbers.size(), 4096U);
  while (seen.numbers.size() < timers.size()) loop->turn();
}

TEST_F(LoopTest, IsStoppedByAnotherThread) {
  std::thread shard([&] { loop->run(); });
  loop->stop();
  shard.join();
  EXPECT_TRUE(loop->stopping());
}

// Two threads, one mailbox, a shard that has nothing to wake it but the bell.
TEST_F(LoopTest, SleepsThroughNoLetter) {
  constexpr int kLetters = 50'000;
  struct Office {
    Mailbox<int> mailbox{64};
    std::atomic<int> taken{0};
    static bool drain(void* self) {
      auto& office = *static_cast<Office*>(self);
      int letter = 0;
      int count = 0;
      while (office.mailbox.pop(letter)) ++count;
      if (count > 0) {
        office.taken.fetch_add(count);
        office.taken.notify_one();
      }
      return false;
    }
  };
  Office office;
  loop->add_stage(&office, &Office::drain);
  std::thread shard([&] { loop->run(); });
  for (int letter = 0; letter < kLetters; ++letter) {
    while (!office.mailbox.push(letter)) std::this_thread::yield();
    if (loop->doorbell().must_ring()) io->ring_doorbell();
    if (letter % 16 == 15) {
      for (int seen = office.taken.load(); seen <= letter; seen = office.taken.load()) {
        office.taken.wait(seen);
      }
    }
  }
  loop->stop();
  shard.join();
  EXPECT_EQ(office.taken.load(), kLetters);
}

}  // namespace
}  // namespace ringmta::shard
