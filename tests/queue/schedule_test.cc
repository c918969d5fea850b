// SPDX-License-Identifier: GPL-3.0-or-later
// When things are tried again: backoff, jitter, restarts, and a wall clock that is set.
#include <algorithm>

#include "station.h"

namespace ringmta::queue {
namespace {

using Kind = Outcome::Kind;

void busy(Job& job) { judge_all(job, Verdict::deferred, 450, "4.2.1 busy"); }

// Times of the attempts on one recipient, in seconds since the first.
std::vector<int64_t> attempt_times(Station& station, Milliseconds how_long) {
  std::vector<Monotonic> times;
  station.peer = [&](Job& job) {
    times.push_back(station.io->now());
    busy(job);
  };
  station.submit_to({"bob@example.org"});
  station.run_for(how_long);
  std::vector<int64_t> seconds_since;
  for (const Monotonic time : times)
    seconds_since.push_back(((time - times[0]).count + 500) / 1000);
  return seconds_since;
}

TEST(Schedule, BacksOffUpToTheCap) {
  QueueOptions options = plain_options();
  options.retry = {.first = seconds(10), .factor = 3, .longest = seconds(100), .jitter = 0};
  Station station(options);
  EXPECT_EQ(attempt_times(station, seconds(345)), (std::vector<int64_t>{0, 10, 40, 130, 230, 330}));
}

TEST(Schedule, NeverEarlyAndLateByATickAtMost) {
  QueueOptions options = plain_options();
  options.retry.first = seconds(1);
  options.retry.factor = 1;
  Station station(options);
  std::vector<Monotonic> times;
  station.peer = [&](Job& job) {
    times.push_back(station.io->now());
    busy(job);
  };
  station.submit_to({"bob@example.org"});
  station.run_for(minutes(2));
  ASSERT_GT(times.size(), 100U);
  for (size_t i = 1; i < times.size(); ++i) {
    EXPECT_GE((times[i] - times[i - 1]).count, 1000);
    EXPECT_LE((times[i] - times[i - 1]).count, 1150);
  }
}

TEST(Schedule, JitterSpreadsWhatWasDeferredTogether) {
  QueueOptions options = plain_options();
  options.retry.first = seconds(1000);
  options.retry.jitter = 0.2;
  Station station(options);
  std::vector<int64_t> seconds_since;
  const Monotonic start = station.world.now();
  station.peer = [&](Job& job) {
    if (job.attempt == 2) seconds_since.push_back((station.io->now() - start).count / 1000);
    busy(job);
  };
  for (int i = 0; i < 200; ++i) station.submit_to({"r" + std::to_string(i) + "@example.org"});
  station.run_for(seconds(1250));
  ASSERT_EQ(seconds_since.size(), 200U);
  EXPECT_GE(std::ranges::min(seconds_since), 800);
  EXPECT_LT(std::ranges::min(seconds_since), 840);
  EXPECT_GT(std::ranges::max(seconds_since), 1160);
  EXPECT_LE(std::ranges::max(seconds_since), 1201);
}

// A rule for the domain wins over the route's schedule, that over the general one.
TEST(Schedule, OfTheDomainThenOfTheRouteThenTheGeneralOne) {
  QueueOptions options = plain_options();
  options.routes = {route_to("own", {".own.example"}), route_to("rest", {"*"})};
  options.routes[0].retry = options.retry;
  options.routes[0].retry->first = seconds(20);
  options.retry_rules = {{{"a.own.example"}, options.retry}};
  options.retry_rules[0].retry.first = seconds(5);
  Station station(options);
  station.peer = busy;
  station.submit_to({"x@a.own.example", "x@b.own.example", "x@c.example"});
  station.run_for(seconds(1));
  std::map<std::string, int64_t> waits;
  for (const Told& told : station.told) waits[told.address] = (told.next_attempt - told.at).count;
  EXPECT_EQ(waits["x@a.own.example"], 5000);
  EXPECT_EQ(waits["x@b.own.example"], 20'000);
  EXPECT_EQ(waits["x@c.example"], 60'000);
}

TEST(Schedule, TellsTheNextAttempt) {
  Station station;
  station.peer = busy;
  station.submit_to({"bob@example.org"});
  station.run_for(seconds(1));
  const Told& told = station.last(Kind::deferred);
  EXPECT_EQ(told.next_attempt - told.at, seconds(60));
  EXPECT_EQ(told.attempts, 1);
}

TEST(Schedule, ARestartKeepsIt) {
  Station station;
  station.peer = busy;
  const MessageId id = station.submit_to({"bob@example.org"});
  station.run_for(seconds(70));  // attempts at 0 and 60; next at 180
  EXPECT_EQ(station.count(Kind::deferred), 2U);
  const WallTime next = station.last(Kind::deferred).next_attempt;
  station.end();
  station.begin();
  std::vector<uint16_t> attempts;
  station.peer = [&](Job& job) {
    attempts.push_back(job.attempt);
    EXPECT_EQ(job.id, id);
    EXPECT_GE(station.world.wall(), next);
    EXPECT_LE(station.world.wall(), next + Milliseconds{200});
    deliver(job);
  };
  station.run_for(seconds(105));
  EXPECT_TRUE(attempts.empty());
  station.run_for(seconds(10));
  EXPECT_EQ(attempts, std::vector<uint16_t>{3});
}

TEST(Schedule, ARestartKeepsFatesAndGroupsWhatWaitsTogether) {
  Station station;
  station.peer = [](Job& job) {
    if (job.attempt == 1) {
      judge(job.recipients[0], Verdict::delivered, 250, "ok");
      judge(job.recipients[1], Verdict::deferred, 450, "4.2.1 busy");
      judge(job.recipients[2], Verdict::deferred, 450, "4.2.1 busy");
    } else {
      deliver(job);
    }
  };
  station.submit_to({"a@example.org", "b@example.org", "c@example.org"});
  station.run_for(seconds(1));
  station.end();
  station.begin();
  const uint64_t jobs = station.jobs;
  station.run_for(minutes(2));
  EXPECT_EQ(station.jobs, jobs + 1);
  EXPECT_EQ(station.addresses_of(Kind::delivered),
            (std::vector<std::string>{"a@example.org", "b@example.org", "c@example.org"}));
  EXPECT_TRUE(station.disk.messages.empty());
}

// The clock is set while mail waits: the waits do not change.
class ScheduleClock : public ::testing::TestWithParam<int64_t> {};

TEST_P(ScheduleClock, SteppingTheWallClockMovesNothing) {
  QueueOptions options = plain_options();
  options.retry = {.first = minutes(10),
                   .factor = 1,
                   .longest = hours(1),
                   .jitter = 0,
                   .expire_after = hours(3),
                   .delay_notice_after = hours(2)};
  Station station(options);
  std::vector<Monotonic> times;
  station.peer = [&](Job& job) {
    if (job.transaction.envelope.reverse_path.empty()) return deliver(job);
    times.push_back(station.io->now());
    busy(job);
  };
  Mail mail;
  mail.to = {{"bob@example.org", smtp::Notify::kDelay | smtp::Notify::kFailure}};
  mail.lifetime = hours(3);
  station.submit(mail);
  station.run_for(minutes(5));
  station.world.step_wall_clock(hours(GetParam()));
  station.run_for(minutes(110));
  EXPECT_EQ(times.size(), 12U);
  EXPECT_TRUE(station.notices.empty());
  EXPECT_EQ(station.count(Kind::expired), 0U);
  station.run_for(minutes(10));
  EXPECT_EQ(station.notices.size(), 1U);  // delayed
  station.run_for(minutes(50));
  EXPECT_EQ(station.count(Kind::expired), 0U);
  station.run_for(minutes(10));
  EXPECT_EQ(station.count(Kind::expired), 1U);
}

INSTANTIATE_TEST_SUITE_P(ForthAndBack, ScheduleClock, ::testing::Values(1000, -1000));

// The clock was wrong while the relay was down.
TEST(Schedule, AClockSetBackBeforeARestartStallsNothing) {
  Station station;
  station.peer = busy;
  station.submit_to({"bob@example.org"});
  station.run_for(seconds(1));
  station.end();
  station.world.step_wall_clock(hours(-10'000));
  station.begin();
  station.run_for(hours(5));  // the longest wait of the schedule is 4 hours
  EXPECT_GE(station.count(Kind::deferred), 2U);
  station.run_for(hours(70));
  EXPECT_EQ(station.count(Kind::expired), 1U);
}

}  // namespace
}  // namespace ringmta::queue
