// SPDX-License-Identifier: GPL-3.0-or-later
// Shards that write to each other while others write to them, each on a thread of its own with its
// own ring, as in the relay: every letter arrives once, in its sender's order, whoever sleeps when.
// Run under TSan too.
#include "exchange.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "ringmta/ring/io.h"
#include "task.h"

namespace ringmta::relay {

// What a task is run with; here it only tells on whose thread.
class ShardRelay final {
 public:
  explicit ShardRelay(std::thread::id thread) : thread_(thread) {}
  bool mine() const { return thread_ == std::this_thread::get_id(); }

 private:
  std::thread::id thread_;
};

namespace {

constexpr uint32_t kShards = 3;
constexpr uint64_t kLetters = 20'000;  // from each shard to each, itself included
constexpr uint64_t kBurst = 700;       // per turn: runs the mailboxes full now and then

// One thread of the relay, reduced to its mail: reads all that came, writes a burst, sleeps.
class Shard final {
 public:
  Shard(Exchange& exchange, uint16_t number)
      : exchange_(exchange), id_{number}, expected_(kShards, 0), sent_(kShards, 0) {
    io_ = *ring::Io::create({.entries = 64, .receive_buffers = 8, .receive_buffer_size = 512});
    loop_ = std::make_unique<shard::Loop>(*io_);
    loop_->add_stage(this, [](void* self) { return static_cast<Shard*>(self)->stage(); });
    exchange_.attach(id_, *loop_);
  }
  void start() {
    thread_ = std::thread([this] {
      const ShardRelay relay(std::this_thread::get_id());
      relay_ = &relay;
      loop_->run();
    });
  }
  void stop() {
    loop_->stop();
    thread_.join();
  }
  uint64_t received() const { return received_.load(std::memory_order_acquire); }
  uint64_t wrong() const { return wrong_; }
  uint64_t tasks() const { return tasks_; }

 private:
  // A letter here is no pointer but the sender and a number.
  static void* packed(uint16_t from, uint64_t number) {
    return reinterpret_cast<void*>(uint64_t{from} << 48 | number);
  }

  bool stage() {
    Letter letter;
    while (exchange_.take(id_, letter)) {
      if (letter.kind == Letter::Kind::task) {
        ShardRelay relay = *relay_;
        if (!Task::from_letter(letter.what)->run(relay)) ++wrong_;
        ++tasks_;
        continue;
      }
      const auto value = reinterpret_cast<uint64_t>(letter.what);
      uint64_t& expected = expected_[value >> 48];
      if ((value & 0xFFFF'FFFF'FFFF) != expected++) ++wrong_;
      received_.fetch_add(1, std::memory_order_release);
    }
    bool more = exchange_.retry(id_);
    for (uint16_t to = 0; to < kShards; ++to) {
      uint64_t& sent = sent_[to];
      for (uint64_t i = 0; i < kBurst && sent < kLetters; ++i, ++sent) {
        exchange_.post(id_, ShardId{to}, {Letter::Kind::lent, packed(id_.value, sent)});
      }
      more = more || sent < kLetters;
    }
    return more;
  }

  Exchange& exchange_;
  const ShardId id_;
  std::unique_ptr<ring::Io> io_;
  std::unique_ptr<shard::Loop> loop_;
  std::thread thread_;
  const ShardRelay* relay_ = nullptr;
  std::vector<uint64_t> expected_;
  std::vector<uint64_t> sent_;
  std::atomic<uint64_t> received_{0};
  uint64_t wrong_ = 0;
  uint64_t tasks_ = 0;
};

struct Town {
  Town() : exchange(kShards) {
    for (uint16_t number = 0; number < kShards; ++number) {
      shards.push_back(std::make_unique<Shard>(exchange, number));
    }
    for (const auto& one : shards) one->start();
  }
  void stop() {
    for (const auto& one : shards) one->stop();
  }

  Exchange exchange;
  std::vector<std::unique_ptr<Shard>> shards;
};

TEST(Exchange, EveryLetterArrivesOnceAndInOrder) {
  Town town;
  for (const auto& shard : town.shards) {
    while (shard->received() < kShards * kLetters) std::this_thread::yield();
  }
  town.stop();
  for (const auto& shard : town.shards) {
    EXPECT_EQ(shard->received(), kShards * kLetters);
    EXPECT_EQ(shard->wrong(), 0U);
  }
}

TEST(Exchange, TasksOfSeveralThreadsRunOnTheShardTheyAreFor) {
  constexpr int kThreads = 3;
  constexpr int kTasks = 500;
  Town town;
  std::atomic<int> elsewhere{0};
  std::atomic<int> late{0};
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&] {
        for (uint16_t i = 0; i < kTasks; ++i) {
          const bool done = Task::run_on(
              town.exchange, ShardId{static_cast<uint16_t>(i % kShards)},
              [&](ShardRelay& relay) {
                if (!relay.mine()) ++elsewhere;
                return true;
              },
              minutes(5));
          if (!done) ++late;
        }
      });
    }
  }
  town.stop();
  uint64_t run = 0;
  for (const auto& shard : town.shards) run += shard->tasks();
  EXPECT_EQ(run, uint64_t{kThreads} * kTasks);
  EXPECT_EQ(elsewhere, 0);
  EXPECT_EQ(late, 0);
}

// Nobody waits for a shard that does not come: it finishes the task alone, whenever that is.
TEST(Task, APosterMayGoAway) {
  Exchange exchange(1);
  int runs = 0;
  EXPECT_FALSE(Task::run_on(
      exchange, ShardId{0},
      [&](ShardRelay&) {
        ++runs;
        return true;
      },
      Milliseconds{1}));
  EXPECT_EQ(runs, 0);
  Letter letter;
  ASSERT_TRUE(exchange.take(ShardId{0}, letter));
  ShardRelay relay(std::this_thread::get_id());
  EXPECT_TRUE(Task::from_letter(letter.what)->run(relay));
  EXPECT_EQ(runs, 1);
  EXPECT_FALSE(exchange.take(ShardId{0}, letter));
}

}  // namespace
}  // namespace ringmta::relay
