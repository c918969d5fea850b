// SPDX-License-Identifier: GPL-3.0-or-later
// The timer wheel against a plain map of timers, and its promises one by one.
#include "ringmta/ring/timer_wheel.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <vector>

#include "ringmta/base/prng.h"

namespace ringmta::ring {
namespace {

constexpr int64_t kTick = TimerWheel::kTickNs;
constexpr Monotonic kStart{123'456'789'012'345};

Monotonic after(int64_t ns) { return {kStart.ns + ns}; }

std::vector<Timer*> pop_all(TimerWheel& wheel, Monotonic now) {
  std::vector<Timer*> popped;
  while (Timer* timer = wheel.pop_due(now)) popped.push_back(timer);
  return popped;
}

// Turns the wheel as a shard with nothing else to do would: sleeping exactly until next_due().
Monotonic time_of_firing(TimerWheel& wheel, const Timer& timer) {
  for (int turn = 0; turn < 100'000; ++turn) {
    const Monotonic now = wheel.next_due();
    EXPECT_NE(now, Monotonic::never());
    if (Timer* popped = wheel.pop_due(now); popped != nullptr) {
      EXPECT_EQ(popped, &timer);
      return now;
    }
  }
  ADD_FAILURE() << "the timer never fired";
  return {};
}

TEST(TimerWheel, HasNothingDueAtFirst) {
  TimerWheel wheel(kStart);
  EXPECT_EQ(wheel.next_due(), Monotonic::never());
  EXPECT_EQ(wheel.pop_due(after(1'000'000'000)), nullptr);
}

TEST(TimerWheel, FiresNeverEarlyAndAtMostOneTickLate) {
  for (int64_t distance = 1; distance < int64_t{20} * 86'400'000'000'000;
       distance += distance / 3 + kTick / 3) {
    TimerWheel wheel(kStart);
    Timer timer;
    wheel.arm(timer, after(distance));
    const Monotonic fired = time_of_firing(wheel, timer);
    ASSERT_GE(fired.ns, after(distance).ns) << distance;
    ASSERT_LE(fired.ns, after(distance).ns + kTick) << distance;
  }
}

TEST(TimerWheel, FiresATimeOfThePastAtOnce) {
  TimerWheel wheel(kStart);
  Timer timer;
  wheel.arm(timer, after(-1));
  EXPECT_LE(wheel.next_due(), kStart);
  EXPECT_EQ(wheel.pop_due(kStart), &timer);
  EXPECT_FALSE(timer.armed());
}

TEST(TimerWheel, FiresATimerArmedForNowWithinTheSameLoop) {
  TimerWheel wheel(kStart);
  Timer first;
  Timer second;
  wheel.arm(first, after(10 * kTick));
  const Monotonic now = after(20 * kTick + 1234);
  ASSERT_EQ(wheel.pop_due(now), &first);
  wheel.arm(second, now);
  EXPECT_EQ(wheel.pop_due(now), &second);
  EXPECT_EQ(wheel.pop_due(now), nullptr);
}

TEST(TimerWheel, ReturnsTheTokenOfTheTimer) {
  TimerWheel wheel(kStart);
  Timer timer;
  timer.token = Token::make(3, 7);
  wheel.arm(timer, kStart);
  EXPECT_EQ(wheel.pop_due(kStart)->token, Token::make(3, 7));
}

TEST(TimerWheel, ForgetsACancelledTimer) {
  TimerWheel wheel(kStart);
  Timer timer;
  for (const int64_t distance : {int64_t{0}, kTick, 300 * kTick, 70'000 * kTick}) {
    wheel.arm(timer, after(distance));
    EXPECT_TRUE(timer.armed());
    wheel.cancel(timer);
    EXPECT_FALSE(timer.armed());
    EXPECT_EQ(wheel.next_due(), Monotonic::never());
  }
  EXPECT_TRUE(pop_all(wheel, after(100'000 * kTick)).empty());
}

TEST(TimerWheel, MovesAnArmedTimer) {
  TimerWheel wheel(kStart);
  Timer timer;
  wheel.arm(timer, after(5 * kTick));
  wheel.arm(timer, after(500 * kTick));
  EXPECT_TRUE(pop_all(wheel, after(400 * kTick)).empty());
  wheel.arm(timer, after(410 * kTick));
  EXPECT_EQ(pop_all(wheel, after(411 * kTick)).size(), 1U);
  EXPECT_TRUE(pop_all(wheel, after(600 * kTick)).empty());
}

TEST(TimerWheel, KeepsTimesBeyondItsLastLevel) {
  constexpr int64_t kYear = int64_t{366} * 86'400'000'000'000;
  TimerWheel wheel(kStart);
  Timer timer;
  wheel.arm(timer, after(3 * kYear));
  const Monotonic fired = time_of_firing(wheel, timer);
  EXPECT_GE(fired.ns, after(3 * kYear).ns);
  EXPECT_LE(fired.ns, after(3 * kYear).ns + kTick);
}

TEST(TimerWheel, HoldsATimerForNever) {
  TimerWheel wheel(kStart);
  Timer timer;
  wheel.arm(timer, Monotonic::never());
  constexpr int64_t kDay = 86'400'000'000'000;
  for (int64_t day = 0; day < 3000; day += 100) {
    EXPECT_EQ(wheel.pop_due(after(day * kDay)), nullptr);
  }
  EXPECT_TRUE(timer.armed());
}

TEST(TimerWheel, SurvivesAJumpOverManyRounds) {
  TimerWheel wheel(kStart);
  std::vector<Timer> timers(1000);
  for (size_t i = 0; i < timers.size(); ++i) {
    wheel.arm(timers[i], after(static_cast<int64_t>(i * i * i) * 50'000));
  }
  EXPECT_EQ(pop_all(wheel, after(int64_t{100} * 86'400'000'000'000)).size(), timers.size());
  EXPECT_EQ(wheel.next_due(), Monotonic::never());
}

// A reference that cannot be wrong: a sorted set of (time, timer).
class Reference final {
 public:
  void arm(size_t timer, Monotonic due) {
    cancel(timer);
    sorted_.insert({due.ns, timer});
    due_[timer] = due;
  }
  void cancel(size_t timer) { sorted_.erase({due_[timer].ns, timer}); }
  bool empty() const { return sorted_.empty(); }
  Monotonic earliest() const { return {sorted_.begin()->first}; }
  bool holds(size_t timer) const { return sorted_.contains({due_[timer].ns, timer}); }
  Monotonic due(size_t timer) const { return due_[timer]; }
  explicit Reference(size_t timers) : due_(timers) {}

 private:
  std::set<std::pair<int64_t, size_t>> sorted_;
  std::vector<Monotonic> due_;
};

void compare(uint64_t seed) {
  constexpr size_t kTimers = 200;
  Prng prng(seed);
  TimerWheel wheel(kStart);
  Reference reference(kTimers);
  std::vector<Timer> timers(kTimers);
  for (size_t i = 0; i < kTimers; ++i) timers[i].token = Token::make(1, static_cast<uint32_t>(i));
  Monotonic now = kStart;
  for (int step = 0; step < 20'000; ++step) {
    const auto timer = static_cast<size_t>(prng.below(kTimers));
    switch (prng.below(4)) {
      case 0:
      case 1: {  // distances of every magnitude, up to four days
        const auto distance = static_cast<int64_t>(prng.next() >> (16 + prng.below(40)));
        const Monotonic due{now.ns + distance % 345'600'000'000'000 - kTick};
        wheel.arm(timers[timer], due);
        reference.arm(timer, due);
        break;
      }
      case 2:
        wheel.cancel(timers[timer]);
        reference.cancel(timer);
        break;
      case 3: {
        const Monotonic wake = wheel.next_due();
        if (reference.empty()) {
          ASSERT_EQ(wake, Monotonic::never());
        } else {
          ASSERT_LE(wake.ns, std::max(now.ns, reference.earliest().ns) + kTick);
        }
        now.ns += static_cast<int64_t>(prng.next() >> (17 + prng.below(40)));
        while (Timer* popped = wheel.pop_due(now)) {
          const size_t index = popped->token.index();
          ASSERT_TRUE(reference.holds(index)) << "fired without being armed";
          ASSERT_LE(reference.due(index), now) << "fired early";
          reference.cancel(index);
        }
        if (!reference.empty()) {
          ASSERT_GT(reference.earliest().ns, now.ns - kTick) << "fired late";
        }
        break;
      }
    }
  }
}

TEST(TimerWheel, AgreesWithASortedSet) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    compare(seed);
    if (HasFatalFailure()) FAIL() << "seed " << seed;
  }
}

}  // namespace
}  // namespace ringmta::ring
