// SPDX-License-Identifier: GPL-3.0-or-later
// Contents on disk come back before they are sent, a bounded number at a time.
#include "station.h"

namespace ringmta::queue {
namespace {

using Kind = Outcome::Kind;

Mail one_mail() {
  Mail mail;
  mail.to = {{"bob@example.org"}};
  return mail;
}

TEST(Loading, ReadsBeforeItGivesOut) {
  Station station;
  const Mail mail = one_mail();
  station.submit_and_wait(mail);
  station.disk.evict_all();
  EXPECT_TRUE(station.queue->has_work({0}));
  EXPECT_EQ(station.take(), nullptr);
  EXPECT_TRUE(station.queue->has_work({0}));
  station.sites_with_work.clear();
  station.run_for(seconds(1));
  EXPECT_EQ(station.sites_with_work.size(), 1U);  // told that it is here
  Job* job = station.take();
  ASSERT_NE(job, nullptr);
  EXPECT_EQ(std::string_view(static_cast<char*>(job->content[0].iov_base), job->content[0].iov_len),
            mail.content);
  deliver(*job);
  station.queue->job_done(job);
  EXPECT_EQ(station.disk.pins, 0);
  EXPECT_TRUE(station.disk.messages.empty());
}

TEST(Loading, IsBoundedPerSiteAndInAll) {
  QueueOptions options = plain_options();
  options.routes.clear();
  for (int i = 0; i < 20; ++i) {
    const std::string name = "s" + std::to_string(i);
    options.routes.push_back(route_to(name, {name + ".example"}));
  }
  Station station(options);
  station.peer = nullptr;
  for (int i = 0; i < 2000; ++i) station.submit_to({"a@s" + std::to_string(i % 20) + ".example"});
  station.run_for(seconds(1));
  station.disk.evict_all();
  station.disk.holds_loads = true;
  EXPECT_EQ(station.take({0}), nullptr);
  EXPECT_EQ(station.disk.loads_in_flight, 16U);
  for (uint32_t i = 1; i < 20; ++i) EXPECT_EQ(station.take({i}), nullptr);
  EXPECT_EQ(station.disk.loads_in_flight, 128U);
  station.disk.holds_loads = false;
  station.let(deliver);
  station.run_for(minutes(1));
  EXPECT_EQ(station.count(Kind::delivered), 2000U);
  EXPECT_LE(station.disk.loads_in_flight_most, 128U);
  EXPECT_EQ(station.disk.pins, 0);
}

// Contents that slow peers keep pinned may fill the memory: no more are read until there is room.
TEST(Loading, WaitsForMemory) {
  QueueOptions options = plain_options();
  options.routes = {route_to("one", {"one.example"}), route_to("two", {"two.example"})};
  Station station(options);
  station.peer = nullptr;
  for (int i = 0; i < 50; ++i) {
    station.submit_to({"a@one.example"});
    station.submit_to({"a@two.example"});
  }
  station.run_for(seconds(1));
  station.disk.evict_all();
  station.disk.memory_exhausted = true;
  EXPECT_EQ(station.take({0}), nullptr);
  EXPECT_EQ(station.take({1}), nullptr);
  station.let(deliver);
  station.run_for(minutes(1));
  EXPECT_EQ(station.disk.loads, 0U);
  EXPECT_EQ(station.count(Kind::delivered), 0U);
  station.disk.memory_exhausted = false;
  station.run_for(seconds(10));
  EXPECT_EQ(station.count(Kind::delivered), 100U);
  EXPECT_EQ(station.disk.pins, 0);
}

TEST(Loading, WhatWasReadAheadIsGivenUpWhenTheSiteFails) {
  Station station;
  station.peer = nullptr;
  for (int i = 0; i < 100; ++i) station.submit_to({"bob@example.org"});
  station.run_for(seconds(1));
  station.disk.evict_all();
  EXPECT_EQ(station.take(), nullptr);
  station.run_for(seconds(1));
  EXPECT_EQ(station.disk.pins, 16);
  station.queue->site_failed({0}, "connection refused", station.io->now() + minutes(5));
  EXPECT_EQ(station.disk.pins, 0);
  station.let(deliver);
  station.run_for(minutes(6));
  EXPECT_EQ(station.count(Kind::delivered), 100U);
}

TEST(Loading, AReadThatFailsIsTriedAgainSoon) {
  Station station;
  station.submit_and_wait(one_mail());
  station.disk.evict_all();
  station.disk.unreadable = true;
  station.let(deliver);
  station.run_for(seconds(4));
  EXPECT_EQ(station.disk.loads, 1U);
  station.disk.unreadable = false;
  station.run_for(seconds(2));
  EXPECT_EQ(station.count(Kind::delivered), 1U);
}

// Of several sites, too, whose deliveries fail together: that is one failure, and the next wait is
// the second, not the fourth.
TEST(Loading, WaitsLongerFromFailureToFailure) {
  QueueOptions options = plain_options();
  options.routes = {route_to("a", {"a.example"}), route_to("b", {"b.example"}),
                    route_to("c", {"c.example"})};
  Station station(options);
  Mail mail;
  mail.to = {{"x@a.example"}, {"x@b.example"}, {"x@c.example"}};
  station.submit_and_wait(mail);
  station.disk.evict_all();
  station.disk.unreadable = true;
  station.let(deliver);
  station.run_for(seconds(1));
  const auto loads_in = [&](Milliseconds time) {
    const uint64_t before = station.disk.loads;
    station.run_for(time);
    return station.disk.loads - before;
  };
  EXPECT_EQ(loads_in(seconds(5)), 3U);   // after 5 s
  EXPECT_EQ(loads_in(seconds(11)), 3U);  // after 10 s more
  EXPECT_EQ(loads_in(seconds(10)), 0U);
  EXPECT_EQ(loads_in(seconds(10)), 3U);  // after 20 s
  station.run_for(hours(1));
  EXPECT_EQ(loads_in(hours(1)), 36U);  // every five minutes in the end
  station.disk.unreadable = false;
  station.run_for(minutes(5));
  EXPECT_EQ(station.count(Kind::delivered), 3U);
}

// The time in which nobody could read it is not held against it: it is tried once more.
TEST(Loading, WhatCannotBeReadIsKeptBeyondItsTime) {
  for (const bool own_schedule : {false, true}) {
    for (const bool taken : {false, true}) {
      QueueOptions options = plain_options();
      if (own_schedule) {
        options.retry_rules = {{{"example.org"}, options.retry}};
        options.retry_rules[0].retry.expire_after = hours(50);
      }
      Station station(options);
      station.submit_and_wait(one_mail());
      station.disk.evict_all();
      station.disk.unreadable = true;
      station.let([&](Job& job) {
        if (taken) return deliver(job);
        judge_all(job, Verdict::deferred, 450, "4.2.0 not now");
      });
      station.run_for(hours(100));
      EXPECT_EQ(station.disk.messages.size(), 1U);
      EXPECT_EQ(station.told.size(), 0U);
      EXPECT_LE(station.disk.loads, 2U * 12 * 100);
      station.disk.unreadable = false;  // the disk was mended
      station.run_for(minutes(20));
      EXPECT_EQ(station.count(Kind::delivered), taken ? 1U : 0U);
      EXPECT_EQ(station.count(Kind::expired), taken ? 0U : 1U);
    }
  }
}

TEST(Loading, AMessageOfManySitesIsReadForEach) {
  QueueOptions options = plain_options();
  options.routes = {route_to("a", {"a.example"}), route_to("b", {"b.example"})};
  Station station(options);
  Mail mail;
  mail.to = {{"x@a.example"}, {"x@b.example"}};
  station.submit_and_wait(mail);
  station.disk.evict_all();
  station.let(deliver);
  station.run_for(seconds(1));
  EXPECT_EQ(station.count(Kind::delivered), 2U);
  EXPECT_EQ(station.disk.pins, 0);
}

}  // namespace
}  // namespace ringmta::queue
