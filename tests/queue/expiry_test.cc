// SPDX-License-Identifier: GPL-3.0-or-later
// A message expires on time wherever it waits.
#include "station.h"

namespace ringmta::queue {
namespace {

using Kind = Outcome::Kind;

Mail short_lived(Milliseconds lifetime = hours(1)) {
  Mail mail;
  mail.to = {{"bob@example.org"}};
  mail.lifetime = lifetime;
  return mail;
}

void expect_expired_at(Station& station, Milliseconds lifetime) {
  station.run_for(lifetime - seconds(2));
  EXPECT_EQ(station.count(Kind::expired), 0U);
  station.run_for(seconds(3));
  ASSERT_EQ(station.count(Kind::expired), 1U);
  EXPECT_NE(station.last(Kind::expired).dsn, 0U);
  ASSERT_EQ(station.notices.size(), 1U);
  EXPECT_NE(station.notices[0].find("Action: failed"), std::string::npos);
  EXPECT_EQ(station.queue->counters().expired, 1U);
}

TEST(Expiry, WhileReady) {
  Station station;
  station.peer = nullptr;  // every connection is busy for ever
  station.submit(short_lived());
  expect_expired_at(station, hours(1));
}

TEST(Expiry, WhileDeferred) {
  Station station;
  station.peer = [](Job& job) { judge_all(job, Verdict::deferred, 450, "4.2.1 busy"); };
  station.submit(short_lived());
  expect_expired_at(station, hours(1));
  EXPECT_NE(station.notices[0].find("450 4.2.1 busy"), std::string::npos);
  EXPECT_NE(station.notices[0].find("Status: 4.2.1"), std::string::npos);
  EXPECT_EQ(station.last(Kind::expired).code, 450);
  EXPECT_EQ(station.last(Kind::expired).reply, "4.2.1 busy");
}

TEST(Expiry, BehindAnUnreachableSite) {
  Station station;
  station.peer = nullptr;
  station.queue->site_failed({0}, "connection refused by mx.example.org",
                             station.io->now() + hours(50));
  station.submit(short_lived());
  expect_expired_at(station, hours(1));
  EXPECT_NE(station.notices[0].find("connection refused by mx.example.org"), std::string::npos);
  EXPECT_EQ(station.last(Kind::expired).reply, "connection refused by mx.example.org");
  EXPECT_EQ(station.last(Kind::expired).attempts, 0);
}

TEST(Expiry, BehindARouteWithoutAddresses) {
  Station station;
  station.end();
  station.addresses = false;
  station.begin();
  station.peer = nullptr;
  station.submit(short_lived());
  expect_expired_at(station, hours(1));
}

TEST(Expiry, OfADomainThatIsNeverResolved) {
  QueueOptions options = plain_options();
  options.routes.clear();
  Station station(options);
  station.peer = nullptr;
  station.submit(short_lived());
  expect_expired_at(station, hours(1));
  EXPECT_NE(station.notices[0].find("Status: 4.4.4"), std::string::npos);
}

TEST(Expiry, OfContentOnDisk) {
  Station station;
  station.peer = nullptr;
  station.submit(short_lived());
  station.run_for(seconds(1));
  station.disk.evict_all();
  expect_expired_at(station, hours(1) - seconds(1));
  EXPECT_EQ(station.disk.pins, 0);
}

TEST(Expiry, WhatIsUnderWayIsDecidedByItsReply) {
  Station station;
  station.peer = nullptr;
  station.submit(short_lived());
  station.run_for(seconds(1));
  Job* job = station.take();
  ASSERT_NE(job, nullptr);
  station.run_for(hours(2));
  EXPECT_EQ(station.count(Kind::expired), 0U);
  EXPECT_LT(job->expires, station.world.now());  // a borrower that has not begun gives it back
  deliver(*job);
  station.queue->job_done(job);
  station.run_for(seconds(1));
  EXPECT_EQ(station.count(Kind::delivered), 1U);
  EXPECT_EQ(station.count(Kind::expired), 0U);
  EXPECT_TRUE(station.disk.messages.empty());
}

TEST(Expiry, WhatComesBackTooLateExpiresAtOnce) {
  for (const Verdict verdict : {Verdict::deferred, Verdict::retry_now}) {
    Station station;
    station.peer = nullptr;
    Mail mail = short_lived();
    mail.from = "";
    station.submit(mail);
    station.run_for(seconds(1));
    Job* job = station.take();
    ASSERT_NE(job, nullptr);
    station.run_for(hours(2));
    judge_all(*job, verdict, 0, "waited in vain");
    station.queue->job_done(job);
    station.run_for(seconds(1));
    EXPECT_EQ(station.count(Kind::expired), 1U);
    EXPECT_EQ(station.take(), nullptr);
  }
}

TEST(Expiry, WhileItsContentIsRead) {
  Station station;
  station.submit(short_lived());
  station.peer = nullptr;
  station.run_for(seconds(1));
  station.disk.evict_all();
  station.disk.holds_loads = true;
  EXPECT_EQ(station.take(), nullptr);  // asks for it
  station.run_for(hours(2));
  EXPECT_EQ(station.count(Kind::expired), 0U);
  station.disk.holds_loads = false;
  station.run_for(seconds(2));
  EXPECT_EQ(station.count(Kind::expired), 1U);
  EXPECT_EQ(station.disk.pins, 0);
}

TEST(Expiry, IsPerMessage) {
  Station station;
  station.peer = [](Job& job) {
    if (job.transaction.envelope.reverse_path.empty()) return deliver(job);
    judge_all(job, Verdict::deferred, 450, "4.2.1 busy");
  };
  station.submit(short_lived(hours(1)));
  station.submit(short_lived(hours(3)));
  station.run_for(hours(2));
  EXPECT_EQ(station.count(Kind::expired), 1U);
  station.run_for(hours(2));
  EXPECT_EQ(station.count(Kind::expired), 2U);
}

TEST(Expiry, ARuleForADomainWins) {
  QueueOptions options = plain_options();
  RetryRule rule{{".quick.example"}, options.retry};
  rule.retry.expire_after = hours(1);
  rule.retry.first = minutes(1);
  options.retry_rules = {rule};
  Station station(options);
  station.peer = [](Job& job) {
    if (job.transaction.envelope.reverse_path.empty()) return deliver(job);
    judge_all(job, Verdict::deferred, 450, "4.2.1 busy");
  };
  Mail mail;
  mail.to = {{"a@mx.quick.example"}, {"b@slow.example"}};
  station.submit(mail);
  station.run_for(hours(2));
  EXPECT_EQ(station.addresses_of(Kind::expired), std::vector<std::string>{"a@mx.quick.example"});
  station.run_for(hours(71));
  EXPECT_EQ(station.count(Kind::expired), 2U);
  EXPECT_TRUE(station.disk.messages.empty());
}

// The hold of their site ends in the moment they expire; none slips out.
TEST(Expiry, NothingBeginsAfterItsTime) {
  Station station;
  station.peer = nullptr;
  for (int i = 0; i < 1000; ++i) {
    Mail mail = short_lived();
    mail.from = "";
    station.submit(mail);
  }
  station.queue->site_failed({0}, "connection refused", station.io->now() + hours(1));
  station.run_for(minutes(59));
  station.peer = deliver;
  station.run_for(minutes(2));
  EXPECT_EQ(station.count(Kind::delivered), 0U);
  EXPECT_EQ(station.count(Kind::expired), 1000U);
}

TEST(Expiry, OfManyAtOnceIsDoneInSlices) {
  Station station;
  station.peer = nullptr;
  for (int i = 0; i < 5000; ++i) {
    Mail mail = short_lived();
    mail.from = "";  // no DSNs
    station.submit(mail);
  }
  station.run_for(seconds(1));
  station.disk.evict_all();
  station.disk.loads_in_flight_most = 0;
  station.run_for(hours(1));
  EXPECT_EQ(station.count(Kind::expired), 5000U);
  EXPECT_LE(station.disk.loads_in_flight_most, 32U);
  EXPECT_TRUE(station.disk.messages.empty());
}

}  // namespace
}  // namespace ringmta::queue
