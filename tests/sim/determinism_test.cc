// SPDX-License-Identifier: GPL-3.0-or-later
// Same seed, same trace. A small town of shards does a bit of everything: connections of random
// length in both directions, files, timers, letters, resets; its whole history is one number.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "ringmta/ring/disk.h"
#include "ringmta/shard/loop.h"
#include "ringmta/sim/world.h"

namespace ringmta::sim {
namespace {

using ring::CloseMode;
using ring::Event;
using ring::EventKind;
using shard::kind;
using shard::Owner;

const SocketAddress kPort = *parse_socket_address("127.0.0.1:25", 0);

// Connects, sends a text, reads it back from the shard that accepted it, closes, writes a line to
// its log, starts again after a pause.
class Citizen final {
 public:
  explicit Citizen(World& world, int number)
      : text_(5000, static_cast<char>('a' + number)), io_(*ring::Io::create({})), loop_(*io_) {
    loop_.handle(Owner::test, this, [](void* self, const Event& event) {
      static_cast<Citizen*>(self)->on_event(event);
    });
    EXPECT_TRUE(io_->listen(kPort, {}, ring::Token::make(kind(Owner::test), 1)).has_value());
    log_ = *io_->open_file("/log" + std::to_string(number), ring::OpenMode::append);
    timer_.token = ring::Token::make(kind(Owner::test), 2);
    loop_.timers().arm(timer_, loop_.now());
    world.drive(*io_, &loop_, [](void* self) { static_cast<shard::Loop*>(self)->turn(); });
  }
  int rounds() const { return rounds_; }

 private:
  void on_event(const Event& event) {
    switch (event.kind) {
      case EventKind::timer: {
        Result<ring::StreamId> made =
            io_->connect(kPort, {}, ring::Token::make(kind(Owner::test), 3));
        ASSERT_TRUE(made.has_value());
        break;
      }
      case EventKind::accepted:
        io_->own(event.stream, ring::Token::make(kind(Owner::test), 4));
        io_->read(event.stream);
        break;
      case EventKind::connected: {
        if (event.result != 0) {
          io_->close(event.stream, CloseMode::abort);
          break;
        }
        io_->read(event.stream);
        const iovec part{text_.data(), 1 + io_->random() % text_.size()};
        io_->send(event.stream, {&part, 1});
        break;
      }
      case EventKind::sent:
        if (event.token.index() == 3) io_->close(event.stream, CloseMode::graceful);
        break;
      case EventKind::ended:
        io_->close(event.stream, CloseMode::graceful);
        break;
      case EventKind::closed:
        if (event.token.index() == 3) {
          const iovec part{text_.data(), 10};
          io_->write_file(log_, {&part, 1}, 0, ring::Durability::durable,
                          ring::Token::make(kind(Owner::test), 5));
        }
        break;
      case EventKind::file_done:
        ++rounds_;
        loop_.timers().arm(timer_,
                           loop_.now() + Milliseconds{static_cast<int64_t>(io_->random() % 50)});
        break;
      default:
        break;
    }
  }

  std::string text_;  // outlives io_, which may still write from it
  std::unique_ptr<ring::Io> io_;
  shard::Loop loop_;
  ring::FileId log_;
  ring::Timer timer_;
  int rounds_ = 0;
};

uint64_t history(uint64_t seed) {
  WorldOptions options;
  options.seed = seed;
  options.network.segment_octets_max = 600;
  options.network.reset_one_in = 200;
  World world(options);
  std::vector<std::unique_ptr<Citizen>> town;
  for (int number = 0; number < 3; ++number) {
    town.push_back(std::make_unique<Citizen>(world, number));
  }
  const bool done = world.run_until(
      [&] {
        for (const auto& citizen : town) {
          if (citizen->rounds() < 30) return false;
        }
        return true;
      },
      minutes(10));
  EXPECT_TRUE(done) << "seed " << seed;
  return world.trace();
}

TEST(Determinism, TheSameSeedGivesTheSameHistory) {
  for (uint64_t seed = 1; seed <= 10; ++seed) EXPECT_EQ(history(seed), history(seed)) << seed;
}

TEST(Determinism, DifferentSeedsGiveDifferentHistories) {
  std::vector<uint64_t> traces;
  for (uint64_t seed = 1; seed <= 20; ++seed) traces.push_back(history(seed));
  std::sort(traces.begin(), traces.end());
  EXPECT_EQ(std::unique(traces.begin(), traces.end()), traces.end());
}

}  // namespace
}  // namespace ringmta::sim
