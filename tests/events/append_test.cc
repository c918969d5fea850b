// SPDX-License-Identifier: GPL-3.0-or-later
// Several shards, each a thread with a ring of its own, append to one real file.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "outcomes.h"
#include "ringmta/events/writer.h"

namespace ringmta::events {
namespace {

constexpr uint16_t kShards = 3;
constexpr int kLinesPerTurn = 50;
constexpr int kTurns = 200;

std::string name_of(uint16_t shard, int number) {
  return std::to_string(number) + "@" + std::to_string(shard);
}

// Records in small portions, so that many writes of all shards meet.
void run_shard(const std::string& path, uint16_t number) {
  ring::IoOptions io_options;
  io_options.shard = {number};
  auto io = ring::Io::create(io_options);
  ASSERT_TRUE(io) << io.error().message;
  shard::Loop loop(**io);
  auto writer = Writer::create(loop, {path, 1 << 24, {0}}, "relay.example.com", {number});
  ASSERT_TRUE(writer) << writer.error().message;
  loop.handle(shard::Owner::events, writer->get(), [](void* self, const ring::Event& event) {
    static_cast<Writer*>(self)->on_event(event);
  });
  loop.add_stage(writer->get(), [](void* self) { return static_cast<Writer*>(self)->flush(); });
  Sample sample(queue::Outcome::Kind::delivered);
  sample.with_attempt();
  for (int turn = 0; turn < kTurns; ++turn) {
    for (int i = 0; i < kLinesPerTurn; ++i) {
      const std::string name = name_of(number, turn * kLinesPerTurn + i);
      sample.recipient.address = name;
      (*writer)->record(sample.outcome);
    }
    loop.turn(loop.now());
  }
  while (!(*writer)->idle()) loop.turn(loop.now() + Milliseconds{10});
}

TEST(Append, LinesOfSeveralShardsNeverMix) {
  std::string directory = (std::filesystem::temp_directory_path() / "events-XXXXXX").string();
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  const std::string path = directory + "/events.jsonl";
  {
    std::array<std::jthread, kShards> shards;
    for (uint16_t number = 0; number < kShards; ++number) {
      shards[number] = std::jthread(run_shard, path, number);
    }
  }
  std::set<std::string> expected;
  for (uint16_t number = 0; number < kShards; ++number) {
    for (int i = 0; i < kTurns * kLinesPerTurn; ++i) expected.insert(name_of(number, i));
  }
  std::ifstream file(path);
  size_t lines = 0;
  for (std::string line; std::getline(file, line); ++lines) {
    const auto object = nlohmann::json::parse(line, nullptr, false);
    ASSERT_FALSE(object.is_discarded()) << line;
    ASSERT_EQ(expected.erase(object.at("recipient").get<std::string>()), 1u) << line;
  }
  EXPECT_EQ(lines, size_t{kShards} * kTurns * kLinesPerTurn);
  EXPECT_TRUE(expected.empty()) << *expected.begin() << " is missing";
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace ringmta::events
