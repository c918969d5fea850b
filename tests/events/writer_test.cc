// SPDX-License-Identifier: GPL-3.0-or-later
// Which lines are in the file at the end, whatever the disk did in between.
#include "ringmta/events/writer.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <sstream>

#include "outcomes.h"
#include "scripted_io.h"

namespace ringmta::events {
namespace {

using nlohmann::json;
using Kind = queue::Outcome::Kind;

constexpr const char* kPath = "/var/log/ringmta/events.jsonl";
constexpr Milliseconds kFlushAfter{20};

// One shard with its own Io, loop and writer, on a disk that may be shared.
class Shard final {
 public:
  explicit Shard(ring::ScriptedDisk& disk, uint16_t number = 0, uint64_t buffer_max = 1 << 20) {
    io_ = std::move(*ring::Io::create({}));
    io_->impl().disk = &disk;
    move_clock({0});
    loop_ = std::make_unique<shard::Loop>(*io_);
    EventOptions options{kPath, buffer_max, kFlushAfter};
    writer_ = std::move(*Writer::create(*loop_, options, "relay.example.com", ShardId{number}));
    loop_->handle(shard::Owner::events, writer_.get(), [](void* self, const ring::Event& event) {
      static_cast<Writer*>(self)->on_event(event);
    });
    loop_->add_stage(writer_.get(), [](void* self) { return static_cast<Writer*>(self)->flush(); });
  }

  Writer& writer() { return *writer_; }
  ring::Io::Impl& io() { return io_->impl(); }

  void record(const std::string& recipient) {
    Sample sample(Kind::received);
    sample.recipient.address = recipient;
    writer_->record(sample.outcome);
  }
  void turn() { loop_->turn(now_); }
  // What was asked of the disk happens, and what follows from it is asked.
  void move_clock(Milliseconds by) {
    now_ = now_ + by;
    wall_ = wall_ + by;
    ring::Io::Impl::set_clock(*io_, now_, wall_);
  }
  void turn_after(Milliseconds wait) {
    move_clock(wait);
    turn();
  }
  void finish() {
    for (int i = 0; i < 100 && !writer_->idle(); ++i) turn_after(kFlushAfter);
    EXPECT_TRUE(writer_->idle());
  }

 private:
  Monotonic now_{1'000'000'000'000};
  WallTime wall_{kArrivalMs};
  std::unique_ptr<ring::Io> io_;
  std::unique_ptr<shard::Loop> loop_;
  std::unique_ptr<Writer> writer_;
};

// The recipients of all lines, read by the rule in docs/events.md: a line that is not JSON is cut
// in front of each mark of a beginning, and pieces that are not JSON even then are left out.
std::vector<std::string> recipients(const std::string& content, size_t* bad_lines = nullptr) {
  constexpr std::string_view kMark = R"({"event":")";
  std::vector<std::string> found;
  const auto take = [&](std::string_view text) {
    const json line = json::parse(text, nullptr, false);
    if (line.is_discarded()) return false;
    found.push_back(line.at("recipient").get<std::string>());
    return true;
  };
  std::string_view rest = content;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (take(line)) continue;
    if (bad_lines != nullptr) ++*bad_lines;
    while (!line.empty()) {
      const size_t next = std::min(line.find(kMark, 1), line.size());
      take(line.substr(0, next));
      line.remove_prefix(next);
    }
  }
  return found;
}

using Names = std::vector<std::string>;

// What a reader gets that skips whatever is not JSON.
Names recipients_of_good_lines(const std::string& content) {
  Names found;
  std::istringstream lines(content);
  for (std::string text; std::getline(lines, text);) {
    const json line = json::parse(text, nullptr, false);
    if (!line.is_discarded()) found.push_back(line.at("recipient").get<std::string>());
  }
  return found;
}

class WriterTest : public ::testing::Test {
 protected:
  WriterTest() { ring::ScriptedDisk::current() = &disk_; }
  ring::ScriptedDisk disk_;
  std::string& content() { return disk_[kPath]; }
};

TEST_F(WriterTest, LinesWaitForCompanyAndThenAreWrittenTogether) {
  Shard shard(disk_);
  shard.record("a@x");
  shard.turn_after({kFlushAfter.count - 5});
  shard.record("b@x");
  shard.turn();
  EXPECT_EQ(shard.io().writes_begun, 0u);
  shard.turn_after({10});
  EXPECT_EQ(shard.io().writes_begun, 1u);
  shard.turn();
  EXPECT_EQ(recipients(content()), (Names{"a@x", "b@x"}));
  EXPECT_TRUE(shard.writer().idle());
}

TEST_F(WriterTest, AFullChunkDoesNotWait) {
  Shard shard(disk_, 0, 64 * 1024);
  for (int i = 0; i < 60; ++i) shard.record("a@x");  // some 230 octets each; a chunk is 16 KiB
  shard.turn();
  EXPECT_EQ(shard.io().writes_begun, 0u);
  for (int i = 0; i < 20; ++i) shard.record("a@x");
  shard.turn();
  EXPECT_EQ(shard.io().writes_begun, 1u);
  shard.finish();
  EXPECT_EQ(recipients(content()).size(), 80u);
}

TEST_F(WriterTest, OnlyOneWriteIsInFlight) {
  Shard shard(disk_, 0, 64 * 1024);
  for (int i = 0; i < 140; ++i) shard.record("a@x");
  shard.turn();
  EXPECT_EQ(shard.io().asked.size(), 1u);
  shard.finish();
  EXPECT_EQ(recipients(content()).size(), 140u);
}

TEST_F(WriterTest, LinesRecordedDuringAWriteFollow) {
  Shard shard(disk_);
  shard.record("a@x");
  shard.turn_after(kFlushAfter);
  shard.record("b@x");
  shard.finish();
  EXPECT_EQ(recipients(content()), (Names{"a@x", "b@x"}));
  EXPECT_EQ(shard.writer().counters().written, 2u);
  EXPECT_EQ(shard.writer().counters().written_octets, content().size());
  EXPECT_EQ(shard.writer().counters().writes, 2u);
}

TEST_F(WriterTest, WithoutAFileNothingHappens) {
  auto io = std::move(*ring::Io::create({}));
  io->impl().disk = &disk_;
  shard::Loop loop(*io);
  auto writer = std::move(*Writer::create(loop, {}, "relay.example.com", ShardId{}));
  Sample sample(Kind::received);
  writer->record(sample.outcome);
  EXPECT_FALSE(writer->flush());
  writer->reopen();
  EXPECT_TRUE(writer->idle());
  EXPECT_TRUE(disk_.files.empty());
  EXPECT_EQ(writer->counters().written, 0u);
}

TEST_F(WriterTest, AFileThatCannotBeOpenedIsAnErrorThatNamesIt) {
  auto io = std::move(*ring::Io::create({}));
  io->impl().disk = &disk_;
  disk_.refuse_to_open = true;
  shard::Loop loop(*io);
  const auto made = Writer::create(loop, {kPath, 1 << 20, {}}, "relay.example.com", ShardId{});
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find(kPath), std::string::npos) << made.error().message;
  EXPECT_EQ(made.error().code, EACCES);
}

// Wherever a write ends short, each line is in the file exactly once, and the fragment is on a line
// of its own.
TEST_F(WriterTest, AShortWriteAtEveryOctetLosesAndRepeatsNothing) {
  size_t length = 0;
  {
    Shard shard(disk_);
    for (const char* name : {"a@x", "b@x", "c@x"}) shard.record(name);
    shard.finish();
    length = content().size();
  }
  for (size_t octets = 1; octets < length; ++octets) {
    disk_ = {};
    disk_.writes = {static_cast<int32_t>(octets)};
    Shard shard(disk_);
    for (const char* name : {"a@x", "b@x", "c@x"}) shard.record(name);
    shard.finish();
    shard.record("d@x");
    shard.finish();
    ASSERT_EQ(recipients_of_good_lines(content()), (Names{"a@x", "b@x", "c@x", "d@x"})) << octets;
    ASSERT_EQ(shard.writer().counters().written, 4u) << octets;
    ASSERT_EQ(shard.writer().counters().lost, 0u);
  }
}

TEST_F(WriterTest, AnotherShardsWriteBehindAFragmentIsNotLost) {
  const size_t length = [&] {
    Shard shard(disk_);
    shard.record("a@x");
    shard.finish();
    return content().size();
  }();
  for (size_t octets = 1; octets < 2 * length; ++octets) {
    disk_ = {};
    Shard first(disk_, 0), second(disk_, 1);
    first.record("a@x");
    first.record("b@x");
    first.turn_after(kFlushAfter);
    disk_.writes = {static_cast<int32_t>(octets)};
    first.turn();  // falls short; the rest is asked for, not yet done
    second.record("c@x");
    second.record("d@x");
    second.finish();
    first.finish();
    Names found = recipients(content());
    std::sort(found.begin(), found.end());
    ASSERT_EQ(found, (Names{"a@x", "b@x", "c@x", "d@x"})) << octets;
  }
}

TEST_F(WriterTest, ShortWritesInARowOfTheLineFeedAlone) {
  Shard shard(disk_);
  disk_.writes = {10, 1, 10, 1, 1};
  shard.record("a@x");
  shard.record("b@x");
  shard.finish();
  EXPECT_EQ(recipients(content()), (Names{"a@x", "b@x"}));
  EXPECT_EQ(shard.writer().counters().written, 2u);
}

TEST_F(WriterTest, WhileTheDiskIsFullLinesAreKeptAndTriedEverySecond) {
  Shard shard(disk_);
  disk_.writes = {-ENOSPC, -ENOSPC};
  shard.record("a@x");
  shard.turn_after(kFlushAfter);
  shard.turn();  // fails
  shard.record("b@x");
  shard.turn_after({500});
  EXPECT_EQ(shard.io().writes_begun, 1u);
  shard.turn_after({510});  // tries again
  EXPECT_EQ(shard.io().writes_begun, 2u);
  shard.turn();
  EXPECT_FALSE(shard.writer().idle());
  shard.turn_after({1010});
  shard.finish();
  EXPECT_EQ(recipients(content()), (Names{"a@x", "b@x"}));
  EXPECT_EQ(shard.writer().counters().write_errors, 2u);
  EXPECT_EQ(shard.writer().counters().lost, 0u);
}

TEST_F(WriterTest, AShortWriteOnADiskThatThenIsFullIsRepairedLater) {
  Shard shard(disk_);
  disk_.writes = {30, -ENOSPC};
  shard.record("a@x");
  shard.turn_after(kFlushAfter);
  shard.turn();
  shard.turn();
  EXPECT_EQ(shard.writer().counters().write_errors, 1u);
  shard.turn_after({1010});
  shard.finish();
  EXPECT_EQ(recipients(content()), (Names{"a@x"}));
}

TEST_F(WriterTest, BeyondTheBufferLinesAreLostAndCounted) {
  Shard shard(disk_, 0, 64 * 1024);
  for (int i = 0; i < 1000; ++i) disk_.writes.push_back(-EIO);
  shard.record("first@x");
  shard.turn_after(kFlushAfter);
  shard.turn();
  for (int i = 0; i < 999; ++i) shard.record("later@x");
  EXPECT_LE(shard.writer().counters().memory_octets, 64u * 1024);
  EXPECT_GT(shard.writer().counters().lost, 0u);
  disk_.writes.clear();
  shard.turn_after({1010});
  shard.finish();
  const Names found = recipients(content());
  EXPECT_EQ(found.size() + shard.writer().counters().lost, 1000u);
  EXPECT_EQ(found.size(), shard.writer().counters().written);
  EXPECT_EQ(found.front(), "first@x");
}

TEST_F(WriterTest, WarnsOfLostLinesOncePerMinute) {
  Shard shard(disk_, 0, 4096);  // a line may take more than there is
  const auto warnings_of = [&](auto&& action) {
    ::testing::internal::CaptureStderr();
    action();
    const std::string log = ::testing::internal::GetCapturedStderr();
    size_t count = 0;
    for (size_t at = log.find("lines lost"); at != std::string::npos;
         at = log.find("lines lost", at + 1)) {
      ++count;
    }
    return count;
  };
  const std::string long_name(1000, 'x');
  EXPECT_EQ(warnings_of([&] {
              for (int i = 0; i < 100; ++i) shard.record(long_name);
            }),
            1u);
  EXPECT_EQ(shard.writer().counters().lost, 100u);
  shard.turn_after(seconds(59));
  EXPECT_EQ(warnings_of([&] { shard.record(long_name); }), 0u);
  shard.turn_after(seconds(2));
  EXPECT_EQ(warnings_of([&] { shard.record(long_name); }), 1u);
}

TEST_F(WriterTest, MemoryOfABacklogIsGivenBack) {
  Shard shard(disk_, 0, 64 * 1024);
  disk_.writes = {-ENOSPC};
  shard.record("a@x");
  shard.turn_after(kFlushAfter);
  shard.turn();
  for (int i = 0; i < 200; ++i) shard.record("a@x");
  const uint64_t backlog = shard.writer().counters().memory_octets;
  shard.turn_after({1010});
  shard.finish();
  EXPECT_LT(shard.writer().counters().memory_octets, backlog / 2);
}

TEST_F(WriterTest, ALineBiggerThanAChunkIsWritten) {
  Shard shard(disk_, 0, 256 * 1024);
  const std::string long_name(20'000, 'x');
  shard.record("a@x");
  shard.record(long_name);
  shard.record("b@x");
  shard.finish();
  EXPECT_EQ(recipients(content()), (Names{"a@x", long_name, "b@x"}));
}

TEST_F(WriterTest, AFileThatEndsWithinALineGetsALineFeedFirst) {
  content() = "{\"event\":\"received\",\"recip";
  ASSERT_TRUE(end_last_line(kPath));
  Shard shard(disk_);
  shard.record("a@x");
  shard.finish();
  size_t bad_lines = 0;
  EXPECT_EQ(recipients(content(), &bad_lines), (Names{"a@x"}));
  EXPECT_EQ(bad_lines, 1u);
  EXPECT_NE(content().find("recip\n{"), std::string::npos);
}

TEST_F(WriterTest, AFileThatEndsWithALineIsJustContinued) {
  {
    Shard shard(disk_);
    shard.record("a@x");
    shard.finish();
  }
  ASSERT_TRUE(end_last_line(kPath));
  Shard shard(disk_, 1);
  shard.record("b@x");
  shard.finish();
  EXPECT_EQ(recipients(content()), (Names{"a@x", "b@x"}));
  EXPECT_EQ(content().find("\n\n"), std::string::npos);
}

TEST_F(WriterTest, AfterRotationLinesGoToTheNewFile) {
  Shard shard(disk_);
  shard.record("a@x");
  shard.finish();
  disk_.files["/rotated"] = std::exchange(disk_.files[kPath], nullptr);
  disk_.files.erase(kPath);
  shard.record("b@x");
  shard.writer().reopen();
  shard.finish();
  EXPECT_EQ(recipients(disk_["/rotated"]), (Names{"a@x"}));
  EXPECT_EQ(recipients(content()), (Names{"b@x"}));
}

TEST_F(WriterTest, RotationDuringAWriteSplitsNothing) {
  Shard shard(disk_);
  shard.record("a@x");
  shard.record("b@x");
  shard.turn_after(kFlushAfter);  // the write is under way
  disk_.files["/rotated"] = disk_.files[kPath];
  disk_.files.erase(kPath);
  shard.writer().reopen();
  disk_.writes = {250};  // and ends within the second line
  shard.finish();
  EXPECT_EQ(recipients(disk_["/rotated"]), (Names{"a@x"}));
  EXPECT_EQ(recipients(content()), (Names{"b@x"}));
}

TEST_F(WriterTest, OurFragmentIsEndedThoughTheSameFileIsOpenedAnew) {
  Shard shard(disk_);
  shard.record("a@x");
  shard.record("b@x");
  disk_.writes = {250, -ENOSPC};  // within the second line, then nothing for a while
  shard.turn_after(kFlushAfter);
  shard.turn();
  shard.turn();
  shard.writer().reopen();
  shard.finish();
  EXPECT_EQ(recipients_of_good_lines(content()), (Names{"a@x", "b@x"}));
}

TEST_F(WriterTest, WhenTheNewFileCannotBeOpenedTheOldOneGoesOn) {
  Shard shard(disk_);
  disk_.refuse_to_open = true;
  ::testing::internal::CaptureStderr();
  shard.writer().reopen();
  EXPECT_NE(::testing::internal::GetCapturedStderr().find(kPath), std::string::npos);
  shard.record("a@x");
  shard.finish();
  EXPECT_EQ(recipients(content()), (Names{"a@x"}));
}

TEST_F(WriterTest, ReopeningTriesAFailingDiskAtOnce) {
  Shard shard(disk_);
  disk_.writes = {-ENOSPC};
  shard.record("a@x");
  shard.turn_after(kFlushAfter);
  shard.turn();
  shard.writer().reopen();
  shard.turn();
  shard.turn();
  EXPECT_EQ(recipients(content()), (Names{"a@x"}));
}

}  // namespace
}  // namespace ringmta::events
