// SPDX-License-Identifier: GPL-3.0-or-later
// The doorbell between two threads: a letter never waits for a sleeper that nobody rang.
//
// The consumer really sleeps (a futex by std::atomic::wait). A lost wake-up therefore hangs the
// test, and the alarm kills it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "ringmta/shard/mailbox.h"

namespace ringmta::shard {
namespace {

TEST(Doorbell, NeedNotBeRungWhileTheConsumerIsAwake) {
  Doorbell doorbell;
  EXPECT_FALSE(doorbell.must_ring());
  doorbell.about_to_sleep();
  doorbell.awake();
  EXPECT_FALSE(doorbell.must_ring());
}

TEST(Doorbell, IsRungByOneOnly) {
  Doorbell doorbell;
  doorbell.about_to_sleep();
  EXPECT_TRUE(doorbell.must_ring());
  EXPECT_FALSE(doorbell.must_ring());
}

TEST(Doorbell, LosesNoWakeUpBetweenTwoThreads) {
  constexpr int kLetters =
      50'000;  // 3,000 waits for a processor, which a busy machine gives slowly
  alarm(50);
  Mailbox<int> mailbox(64);
  Doorbell doorbell;
  std::atomic<int> rings{0};
  std::atomic<int> taken{0};
  std::thread consumer([&] {
    int heard = 0;
    int expected = 0;
    const auto drain = [&] {
      int letter = 0;
      while (mailbox.pop(letter)) {
        ASSERT_EQ(letter, expected);
        ++expected;
      }
      taken.store(expected);
      taken.notify_one();
    };
    while (expected < kLetters) {
      drain();
      doorbell.about_to_sleep();
      const int before = expected;
      drain();
      if (expected == before && expected < kLetters) {
        rings.wait(heard);
        heard = rings.load();
      }
      doorbell.awake();
    }
  });
  for (int letter = 0; letter < kLetters; ++letter) {
    while (!mailbox.push(letter)) std::this_thread::yield();
    if (doorbell.must_ring()) {
      rings.fetch_add(1);
      rings.notify_one();
    }
    // Every so often let the consumer run dry, so that it does go to sleep.
    if (letter % 16 == 15) {
      for (int seen = taken.load(); seen <= letter; seen = taken.load()) taken.wait(seen);
    }
  }
  consumer.join();
  alarm(0);
  EXPECT_GT(rings.load(), 0);
}

}  // namespace
}  // namespace ringmta::shard
