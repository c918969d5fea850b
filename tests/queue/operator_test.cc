// SPDX-License-Identifier: GPL-3.0-or-later
// The operator's list, retry and remove.
#include <set>

#include "station.h"

namespace ringmta::queue {
namespace {

using Kind = Outcome::Kind;
using Entry = Queue::Listing::Entry;
using Filter = Queue::Filter;

struct Operator : ::testing::Test {
  Operator() : station(options()) {
    station.peer = [](Job& job) { judge_all(job, Verdict::deferred, 450, "4.2.1 busy"); };
  }
  static QueueOptions options() {
    QueueOptions made = plain_options();
    made.routes = {route_to("org", {".org"}), route_to("rest", {"*"})};
    made.retry.first = hours(1);
    return made;
  }
  MessageId submit(const std::string& from, std::vector<std::string> to) {
    Mail mail;
    mail.from = from;
    for (std::string& address : to) mail.to.push_back({std::move(address)});
    return station.submit(mail);
  }
  // The whole list, as the operator's loop makes it.
  std::vector<Entry> list(const Filter& filter, size_t page = 200) {
    std::vector<Entry> all;
    uint64_t cursor = 0;
    do {
      const auto listing = station.queue->list(filter, cursor, page);
      EXPECT_LE(listing.entries.size(), page);
      all.insert(all.end(), listing.entries.begin(), listing.entries.end());
      cursor = listing.cursor;
      if (listing.waiting) station.run_for(Milliseconds{1});
    } while (cursor != 0);
    return all;
  }
  uint64_t change(bool retry, const Filter& filter) {
    uint64_t count = 0, cursor = 0;
    do {
      const auto changed =
          retry ? station.queue->retry(filter, cursor) : station.queue->remove(filter, cursor);
      count += changed.recipients;
      cursor = changed.cursor;
      if (changed.waiting) station.run_for(Milliseconds{1});
    } while (cursor != 0);
    return count;
  }
  Station station;
};

TEST_F(Operator, ListsWhatWaitsAndWhy) {
  const MessageId id = submit("ann@sender.example", {"bob@one.org", "eve@two.example"});
  station.run_for(seconds(10));
  const auto entries = list({});
  ASSERT_EQ(entries.size(), 2U);
  const Entry& bob = entries[0].address == "bob@one.org" ? entries[0] : entries[1];
  EXPECT_EQ(bob.id, id);
  EXPECT_EQ(bob.recipient, 0U);
  EXPECT_EQ(bob.sender, "ann@sender.example");
  EXPECT_EQ(bob.site, "org");
  EXPECT_EQ(bob.last_reply, "450 4.2.1 busy");
  EXPECT_EQ(bob.attempts, 1);
  EXPECT_EQ(bob.state, Queue::Listing::State::deferred);
  EXPECT_EQ(bob.size, Mail{}.content.size());
  EXPECT_NEAR(static_cast<double>((bob.next_attempt - station.world.wall()).count), 3'590'000,
              1000);
}

// What is deferred over a restart is found by its site at once, where a route names it, and where
// the DNS does, as soon as that has answered.
TEST(OperatorAgain, KnowsTheSitesOfWhatWasDeferredBeforeARestart) {
  for (const bool by_mx : {false, true}) {
    QueueOptions made = Operator::options();
    if (by_mx) made.routes.clear();
    Station again(made);
    again.peer = [](Job& job) { judge_all(job, Verdict::deferred, 450, "4.2.1 busy"); };
    for (int start = 0; start < 2; ++start) {
      again.end();
      again.resolve = [&again](const std::string& domain) {
        Resolution found;
        found.kind = Resolution::Kind::hosts;
        found.site = "org";
        found.hosts = {host_at("192.0.2.7:25")};
        found.until = again.io->now() + hours(100);
        again.queue->domain_resolved(domain, found);
      };
      again.begin();
      if (start == 0) {
        Mail mail;
        mail.to = {{"bob@one.org"}};
        mail.lifetime = minutes(30);  // before its next attempt
        again.submit(mail);
      }
      again.run_for(minutes(1));
    }
    Filter here, elsewhere;
    here.site = "org";
    elsewhere.site = "rest";
    EXPECT_TRUE(again.queue->list(elsewhere, 0, 10).entries.empty());
    EXPECT_TRUE(again.queue->list(here, 0, 10).waiting);  // its head is on disk
    again.run_for(seconds(1));
    const auto listing = again.queue->list(here, 0, 10);
    ASSERT_EQ(listing.entries.size(), 1U);
    EXPECT_EQ(listing.entries[0].site, "org");
    EXPECT_EQ(listing.entries[0].attempts, 1);
    again.run_for(hours(1));
    ASSERT_EQ(again.count(Kind::expired), 1U);
    EXPECT_EQ(again.last(Kind::expired).site, "org");
    EXPECT_EQ(again.last(Kind::expired).attempts, 1);
  }
}

// A bad sector must not keep an operator from the rest, nor a shard busy.
TEST_F(Operator, WhatCannotBeReadIsListedWithoutItsAddresses) {
  for (int i = 0; i < 100; ++i) submit("ann@sender.example", {"bob@one.org"});
  station.run_for(seconds(10));
  station.disk.evict_all();
  station.disk.unreadable = true;
  const uint64_t before = station.disk.loads;
  const auto entries = list({});
  ASSERT_EQ(entries.size(), 100U);
  for (const Entry& entry : entries) {
    EXPECT_EQ(entry.address, "(cannot be read)");
    EXPECT_EQ(entry.site, "org");
  }
  EXPECT_EQ(station.disk.loads, before + 100);
  Filter ann;
  ann.sender = "ann@sender.example";
  EXPECT_TRUE(list(ann).empty());
  EXPECT_EQ(change(false, ann), 0U);
  station.disk.unreadable = false;
  EXPECT_EQ(list(ann).size(), 100U);
}

TEST_F(Operator, SaysWhenAHeldSiteIsTriedAgain) {
  station.peer = nullptr;
  submit("ann@sender.example", {"bob@one.org"});
  station.run_for(seconds(1));
  EXPECT_EQ(list({})[0].state, Queue::Listing::State::ready);
  station.queue->site_failed({0}, "connection refused", station.io->now() + minutes(5));
  const auto entries = list({});
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].state, Queue::Listing::State::held);
  EXPECT_NE(entries[0].last_reply.find("connection refused"), std::string::npos);
  EXPECT_NEAR(static_cast<double>((entries[0].next_attempt - station.world.wall()).count), 300'000,
              1000);
}

TEST_F(Operator, FiltersByEach) {
  const MessageId id = submit("ann@sender.example", {"bob@one.org", "eve@two.example"});
  submit("joe@sender.example", {"bob@one.org"});
  station.run_for(seconds(1));
  EXPECT_EQ(list({.domain = "ONE.org"}).size(), 2U);
  EXPECT_EQ(list({.domain = "two.example"}).size(), 1U);
  EXPECT_EQ(list({.domain = "nowhere.example"}).size(), 0U);
  EXPECT_EQ(list({.sender = "joe@sender.example"}).size(), 1U);
  EXPECT_EQ(list({.site = "rest"}).size(), 1U);
  EXPECT_EQ(list({.id = id}).size(), 2U);
  EXPECT_EQ(list({.domain = "one.org", .id = id}).size(), 1U);
}

TEST_F(Operator, ListsPageByPageEachOnce) {
  for (int i = 0; i < 50; ++i) {
    std::vector<std::string> to;
    for (int k = 0; k < 7; ++k) to.push_back("r" + std::to_string(i * 7 + k) + "@one.org");
    submit("ann@sender.example", to);
  }
  for (int i = 350; i < 9000; ++i)
    submit("ann@sender.example", {"r" + std::to_string(i) + "@one.org"});
  station.run_for(seconds(1));
  std::set<std::string> seen;
  for (const Entry& entry : list({}, 3)) EXPECT_TRUE(seen.insert(entry.address).second);
  EXPECT_EQ(seen.size(), 9000U);
}

TEST_F(Operator, ReadsHeadsFromDisk) {
  for (int i = 0; i < 300; ++i)
    submit("ann@sender.example", {"r" + std::to_string(i) + "@one.org"});
  submit("joe@sender.example", {"joe@one.org"});
  station.run_for(seconds(1));
  station.disk.evict_all();
  station.disk.loads_in_flight_most = 0;
  EXPECT_EQ(list({}).size(), 301U);
  EXPECT_LE(station.disk.loads_in_flight_most, 16U);
  station.run_for(seconds(1));
  EXPECT_EQ(station.disk.pins, 0);
  station.disk.evict_all();
  EXPECT_EQ(list({.sender = "joe@sender.example"}).size(), 1U);
  station.run_for(seconds(10));
  EXPECT_EQ(station.disk.pins, 0);
}

// Sixteen heads a round trip (of a millisecond here), each read once.
TEST_F(Operator, AWalkThroughEvictedMailKeepsTheDiskBusy) {
  for (int i = 0; i < 2000; ++i)
    submit("ann@sender.example", {"r" + std::to_string(i) + "@one.org"});
  station.run_for(seconds(1));
  station.disk.evict_all();
  const Monotonic begun = station.world.now();
  EXPECT_EQ(list({}).size(), 2000U);
  EXPECT_LE((station.world.now() - begun).count, 2000 / 16 * 2);
  EXPECT_EQ(station.disk.loads, 2000U);
}

TEST_F(Operator, ListsEachOnceWhereSomeAreOnDisk) {
  for (int i = 0; i < 100; ++i)
    submit("ann@sender.example", {"a" + std::to_string(i) + "@one.org"});
  station.run_for(seconds(1));
  station.disk.evict_all();
  for (int i = 0; i < 100; ++i)
    submit("ann@sender.example", {"b" + std::to_string(i) + "@one.org"});
  station.run_for(seconds(1));
  std::set<std::string> seen;
  for (const Entry& entry : list({})) EXPECT_TRUE(seen.insert(entry.address).second);
  EXPECT_EQ(seen.size(), 200U);
}

TEST_F(Operator, AMessageMayEndWhileItsHeadIsRead) {
  station.peer = nullptr;
  submit("ann@sender.example", {"bob@one.org"});
  station.run_for(seconds(1));
  station.disk.evict_all();
  station.disk.holds_loads = true;
  EXPECT_TRUE(station.queue->list({}, 0, 100).waiting);
  EXPECT_EQ(station.take(), nullptr);  // asks for the same content
  station.disk.holds_loads = false;
  station.let(deliver);
  station.run_for(seconds(10));
  EXPECT_EQ(station.count(Kind::delivered), 1U);
  EXPECT_TRUE(station.disk.messages.empty());
  EXPECT_EQ(station.disk.pins, 0);
}

TEST_F(Operator, AListingThatIsGivenUpLeavesNothingPinned) {
  for (int i = 0; i < 300; ++i)
    submit("ann@sender.example", {"r" + std::to_string(i) + "@one.org"});
  station.run_for(seconds(1));
  station.disk.evict_all();
  EXPECT_TRUE(station.queue->list({}, 0, 100).waiting);
  station.run_for(seconds(1));
  EXPECT_GT(station.disk.pins, 0);
  station.run_for(seconds(10));
  EXPECT_EQ(station.disk.pins, 0);
}

TEST_F(Operator, ListsWhatIsUnderWay) {
  station.peer = nullptr;
  submit("ann@sender.example", {"bob@one.org"});
  station.run_for(seconds(1));
  Job* job = station.take();
  ASSERT_NE(job, nullptr);
  const auto entries = list({});
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].state, Queue::Listing::State::active);
  deliver(*job);
  station.queue->job_done(job);
}

TEST_F(Operator, RetryMakesDueNow) {
  submit("ann@sender.example", {"bob@one.org", "eve@two.example"});
  station.run_for(seconds(1));
  station.peer = deliver;
  EXPECT_EQ(change(true, {.domain = "one.org"}), 1U);
  station.run_for(seconds(1));
  EXPECT_EQ(station.addresses_of(Kind::delivered), std::vector<std::string>{"bob@one.org"});
}

TEST_F(Operator, RetryEndsTheHoldOfASite) {
  station.queue->site_failed({0}, "connection refused", station.io->now() + hours(9));
  submit("ann@sender.example", {"bob@one.org"});
  station.peer = deliver;
  station.run_for(seconds(1));
  EXPECT_EQ(list({})[0].last_reply, "connection refused");
  EXPECT_EQ(change(true, {.site = "org"}), 1U);
  station.run_for(seconds(1));
  EXPECT_EQ(station.count(Kind::delivered), 1U);
}

TEST_F(Operator, RemoveTellsNobodyButTheEvents) {
  submit("ann@sender.example", {"bob@one.org", "eve@two.example", "joe@one.org"});
  station.run_for(seconds(1));
  EXPECT_EQ(change(false, {.domain = "one.org"}), 2U);
  station.run_for(seconds(1));
  EXPECT_EQ(station.addresses_of(Kind::removed),
            (std::vector<std::string>{"bob@one.org", "joe@one.org"}));
  EXPECT_TRUE(station.notices.empty());
  EXPECT_EQ(station.queue->counters().removed, 2U);
  EXPECT_EQ(list({}).size(), 1U);
  EXPECT_EQ(change(false, {}), 1U);
  station.run_for(seconds(1));
  EXPECT_TRUE(station.disk.messages.empty());
}

TEST_F(Operator, RemoveTakesOneDomainOutOfADelivery) {
  submit("ann@sender.example", {"bob@one.org", "eve@two.org"});
  station.run_for(seconds(1));
  EXPECT_EQ(change(false, {.domain = "one.org"}), 1U);
  station.peer = deliver;
  station.run_for(hours(2));
  EXPECT_EQ(station.addresses_of(Kind::removed), std::vector<std::string>{"bob@one.org"});
  EXPECT_EQ(station.addresses_of(Kind::delivered), std::vector<std::string>{"eve@two.org"});
}

TEST_F(Operator, RemoveWorksOnWhatIsOnDisk) {
  for (int i = 0; i < 1000; ++i)
    submit("ann@sender.example", {"r" + std::to_string(i) + "@one.org"});
  station.run_for(seconds(1));
  station.disk.evict_all();
  EXPECT_EQ(change(false, {.site = "org"}), 1000U);
  EXPECT_TRUE(list({}).empty());
  station.run_for(seconds(10));
  EXPECT_EQ(station.count(Kind::removed), 1000U);
  EXPECT_TRUE(station.disk.messages.empty());
}

TEST_F(Operator, RemoveLeavesWhatIsUnderWay) {
  station.peer = nullptr;
  submit("ann@sender.example", {"bob@one.org"});
  station.run_for(seconds(1));
  Job* job = station.take();
  EXPECT_EQ(change(false, {}), 0U);
  deliver(*job);
  station.queue->job_done(job);
  EXPECT_EQ(station.count(Kind::delivered), 1U);
}

TEST_F(Operator, RemoveWorksOnWhatCannotBeRead) {
  submit("ann@sender.example", {"bob@one.org"});
  station.run_for(seconds(1));
  station.disk.evict_all();
  station.disk.unreadable = true;
  EXPECT_EQ(change(false, {.site = "org"}), 1U);
  station.run_for(seconds(1));
  EXPECT_TRUE(station.disk.messages.empty());
}

TEST_F(Operator, ASliceIsBounded) {
  for (int i = 0; i < 20'000; ++i) submit("ann@sender.example", {"bob@one.org"});
  station.run_for(seconds(1));
  const auto changed = station.queue->retry({}, 0);
  EXPECT_LT(changed.recipients, 5000U);
  EXPECT_NE(changed.cursor, 0U);
}

}  // namespace
}  // namespace ringmta::queue
