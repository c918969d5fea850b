// SPDX-License-Identifier: GPL-3.0-or-later
// Domains without a route: asked about once, shared sites, refusals, changes, and what is idle.
#include <algorithm>
#include <map>

#include "../../src/queue/retry.h"
#include "station.h"

namespace ringmta::queue {
namespace {

using Kind = Outcome::Kind;

Resolution served_by(const std::string& site, Monotonic until) {
  Resolution resolution;
  resolution.kind = Resolution::Kind::hosts;
  resolution.site = site;
  resolution.hosts = {host_at("192.0.2.7:25")};
  resolution.until = until;
  return resolution;
}
Resolution troubled(Resolution::Kind kind, uint16_t code, smtp::EnhancedStatus status,
                    const std::string& text, Monotonic until) {
  Resolution resolution;
  resolution.kind = kind;
  resolution.code = code;
  resolution.status = status;
  resolution.text = text;
  resolution.until = until;
  return resolution;
}

struct Domains : ::testing::Test {
  Domains() : station(options()) {
    station.end();
    station.resolve = [this](const std::string& domain) {
      if (answer) answer(domain);
    };
    station.begin();
  }
  static QueueOptions options() {
    QueueOptions made = plain_options();
    made.routes.clear();
    return made;
  }
  void known(const std::string& domain, const std::string& site, Milliseconds for_long = hours(1)) {
    station.queue->domain_resolved(domain, served_by(site, station.io->now() + for_long));
  }
  Station station;
  std::function<void(const std::string&)> answer;
};

TEST_F(Domains, AreAskedAboutOnce) {
  for (int i = 0; i < 100; ++i) station.submit_to({"bob@Example.ORG", "eve@example.org"});
  station.run_for(hours(2));
  EXPECT_EQ(station.asked, std::vector<std::string>{"example.org"});
  known("example.org", "mx");
  station.run_for(seconds(1));
  EXPECT_EQ(station.count(Kind::delivered), 200U);
  EXPECT_EQ(station.last(Kind::delivered).site, "mx");
}

TEST_F(Domains, AnAnswerWithinTheQuestionWorks) {
  answer = [this](const std::string& domain) { known(domain, "mx"); };
  station.submit_to({"bob@example.org"});
  station.run_for(seconds(1));
  EXPECT_EQ(station.count(Kind::delivered), 1U);
}

TEST_F(Domains, WithTheSameMxSetShareASiteAndATransaction) {
  const Mail mail{
      .to = {{"a@one.example"}, {"b@two.example"}, {"c@alone.example"}, {"d@three.example"}}};
  const auto sizes_of_jobs = [&] {
    std::vector<size_t> sizes;
    for (uint32_t site = 0; site < station.queue->sites(); ++site) {
      while (Job* job = station.take({site})) {
        sizes.push_back(job->recipients.size());
        deliver(*job);
        station.queue->job_done(job);
      }
    }
    std::ranges::sort(sizes);
    return sizes;
  };
  station.peer = nullptr;
  station.submit(mail);  // nothing is known: each domain waits for itself
  station.run_for(seconds(1));
  for (const char* domain : {"one.example", "two.example", "three.example"})
    known(domain, "shared");
  known("alone.example", "alone");
  station.run_for(seconds(1));
  EXPECT_EQ(sizes_of_jobs(), (std::vector<size_t>{1, 3}));
  station.submit(mail);  // all is known
  station.run_for(seconds(1));
  EXPECT_EQ(station.queue->sites(), 2U);
  EXPECT_EQ(sizes_of_jobs(), (std::vector<size_t>{1, 3}));
}

TEST_F(Domains, ThatTakeNoMailReturnItAtOnce) {
  answer = [this](const std::string& domain) {
    if (domain == "null.example") {
      station.queue->domain_resolved(
          domain, troubled(Resolution::Kind::permanent, 556, {5, 1, 10},
                           "the domain accepts no mail (null MX)", station.io->now() + hours(1)));
    } else {
      known(domain, "mx");
    }
  };
  station.submit_to({"a@null.example", "b@null.example", "c@good.example"});
  station.run_for(seconds(1));
  EXPECT_EQ(station.addresses_of(Kind::bounced),
            (std::vector<std::string>{"a@null.example", "b@null.example"}));
  EXPECT_EQ(station.last(Kind::bounced).code, 556);
  ASSERT_EQ(station.notices.size(), 1U);
  EXPECT_NE(station.notices[0].find("Status: 5.1.10"), std::string::npos);
  EXPECT_NE(station.notices[0].find("null MX"), std::string::npos);
  // No host has said it.
  EXPECT_NE(station.notices[0].find("Diagnostic-Code: x-ringmta; "), std::string::npos);
  EXPECT_EQ(station.notices[0].find("refused it"), std::string::npos);
  EXPECT_EQ(station.count(Kind::delivered), 2U);
  // While that holds, nobody is asked again.
  const size_t asked = station.asked.size();
  station.submit_to({"d@null.example"});
  station.run_for(seconds(1));
  EXPECT_EQ(station.count(Kind::bounced), 3U);
  EXPECT_EQ(station.asked.size(), asked);
  EXPECT_TRUE(station.disk.messages.empty());
}

TEST_F(Domains, ThatAreNotKnownNowAreAskedAboutLater) {
  int times = 0;
  answer = [&](const std::string& domain) {
    if (++times < 3) {
      station.queue->domain_resolved(domain, troubled(Resolution::Kind::temporary, 451, {4, 4, 3},
                                                      "SERVFAIL", station.io->now() + minutes(5)));
    } else {
      known(domain, "mx");
    }
  };
  station.submit_to({"bob@example.org"});
  station.run_for(minutes(9));
  EXPECT_EQ(times, 2);
  EXPECT_EQ(station.count(Kind::deferred), 0U);
  const auto listing = station.queue->list({}, 0, 10);
  ASSERT_EQ(listing.entries.size(), 1U);
  EXPECT_EQ(listing.entries[0].last_reply, "451 4.4.3 SERVFAIL");
  ASSERT_EQ(station.told_held.size(), 2U);
  EXPECT_EQ(station.told_held[1].domain, "example.org");
  EXPECT_EQ(station.told_held[1].site, "");
  EXPECT_EQ(station.told_held[1].waiting, 1U);
  EXPECT_EQ(station.told_held[1].code, 451);
  EXPECT_EQ(station.told_held[1].text, "SERVFAIL");
  EXPECT_GT(station.told_held[1].next_attempt.ms, station.world.wall().ms);
  station.run_for(minutes(2));
  EXPECT_EQ(station.count(Kind::delivered), 1U);
}

TEST_F(Domains, AChangeOfMxReachesWhatWasDeferred) {
  std::string site = "old";
  answer = [&](const std::string& domain) { known(domain, site, minutes(2)); };
  std::vector<std::string> went;
  station.peer = [&](Job& job) {
    went.push_back(station.queue->site(job.site).name);
    judge_all(job, Verdict::deferred, 450, "4.2.1 busy");
  };
  station.submit_to({"bob@example.org"});
  station.run_for(minutes(1));
  site = "new";
  station.run_for(minutes(10));
  ASSERT_GE(went.size(), 3U);
  EXPECT_EQ(went.front(), "old");
  EXPECT_EQ(went.back(), "new");
}

TEST_F(Domains, IdleOnesAreForgotten) {
  answer = [this](const std::string& domain) { known(domain, "mx." + domain, hours(10)); };
  const uint64_t before = station.queue->counters().memory_octets;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 2000; ++i)
      station.submit_to({"bob@d" + std::to_string(i) + "." + std::to_string(round) + ".example"});
    station.run_for(minutes(2));
  }
  EXPECT_EQ(station.count(Kind::delivered), 6000U);
  EXPECT_EQ(station.queue->sites(), 6000U);  // nobody agreed to forget sites
  EXPECT_EQ(station.asked.size(), 6000U);
  station.submit_to({"bob@d1.0.example"});
  station.run_for(seconds(1));
  EXPECT_EQ(station.asked.size(), 6001U);  // it was forgotten
  EXPECT_GT(station.queue->counters().memory_octets, before);
}

TEST_F(Domains, IdleSitesAreForgottenWhenThePoolAgrees) {
  station.end();
  std::vector<uint32_t> in_use;
  station.site_gone = [&](SiteId id) {
    return std::ranges::find(in_use, id.value) == in_use.end();
  };
  station.begin();
  answer = [this](const std::string& domain) { known(domain, "mx." + domain, hours(10)); };
  for (int i = 0; i < 100; ++i) station.submit_to({"bob@d" + std::to_string(i) + ".example"});
  station.run_for(seconds(1));
  EXPECT_EQ(station.queue->sites(), 100U);
  in_use = {3, 5};
  station.run_for(minutes(20));
  EXPECT_EQ(station.queue->sites(), 2U);
  in_use.clear();
  station.run_for(minutes(20));
  EXPECT_EQ(station.queue->sites(), 0U);
  station.submit_to({"bob@d7.example"});
  station.run_for(seconds(1));
  EXPECT_EQ(station.count(Kind::delivered), 101U);
}

TEST_F(Domains, ASiteThatFoundWorkAgainIsKept) {
  station.end();
  station.site_gone = [](SiteId) { return true; };
  station.begin();
  answer = [this](const std::string& domain) { known(domain, "mx", hours(10)); };
  station.submit_to({"bob@example.org"});
  station.run_for(minutes(5));  // idle by then, for some minutes
  station.peer = nullptr;
  station.submit_to({"bob@example.org"});
  station.run_for(minutes(20));
  EXPECT_EQ(station.queue->sites(), 1U);
  EXPECT_NE(station.take({0}), nullptr);
}

TEST_F(Domains, QuestionsInFlightAreBounded) {
  constexpr int kMany = 12'000;
  for (int i = 0; i < kMany; ++i) station.submit_to({"bob@d" + std::to_string(i) + ".example"});
  station.run_for(seconds(10));
  EXPECT_EQ(station.asked.size(), 8192U);
  for (int i = 0; i < kMany; ++i) {
    if (static_cast<size_t>(i) < station.asked.size())
      known(station.asked[static_cast<size_t>(i)], "mx");
    if (i % 512 == 0) station.run_for(Milliseconds{10});
  }
  station.run_for(seconds(10));
  for (size_t i = 0; i < station.asked.size(); ++i) known(station.asked[i], "mx");
  station.run_for(seconds(10));
  EXPECT_EQ(station.count(Kind::delivered), static_cast<size_t>(kMany));
}

// Ten thousand domains whose DNS is dead keep a fourth of the questions busy, over and over; one
// that is new is asked about at once.
TEST_F(Domains, DeadOnesNeverKeepANewOneWaiting) {
  bool slow = false;
  answer = [&](const std::string& domain) {
    if (domain.starts_with("good")) return known(domain, "mx");
    if (slow) return;  // not answered while the test looks
    station.queue->domain_resolved(
        domain, troubled(Resolution::Kind::temporary, 0, {4, 4, 3}, "no server answered in time",
                         station.io->now() + seconds(30)));
  };
  for (int i = 0; i < 10'000; ++i) station.submit_to({"bob@d" + std::to_string(i) + ".example"});
  station.run_for(seconds(20));
  slow = true;
  station.run_for(seconds(20));  // by now all are asked about again, as many as may be
  EXPECT_EQ(station.asked.size(), 10'000U + 2048U);
  station.submit_to({"bob@good.example"});
  station.run_for(Milliseconds{200});
  EXPECT_EQ(station.count(Kind::delivered), 1U);
}

TEST_F(Domains, WhatCannotBeFoundOutIsAskedMoreAndMoreSeldom) {
  answer = [&](const std::string& domain) {
    station.queue->domain_resolved(domain, troubled(Resolution::Kind::temporary, 0, {4, 4, 3},
                                                    "SERVFAIL", station.io->now() + seconds(30)));
  };
  station.submit_to({"bob@example.org"});
  station.run_for(minutes(2));
  EXPECT_EQ(station.asked.size(), 5U);
  station.run_for(minutes(118));
  const size_t two_hours = station.asked.size();
  EXPECT_LT(two_hours, 36U);
  station.run_for(hours(1));
  EXPECT_EQ(station.asked.size() - two_hours, 12U);  // every five minutes
}

TEST_F(Domains, InUseAreRefreshedAheadOfTheirEnd) {
  const Monotonic begun = station.io->now();
  Monotonic until = begun + minutes(10);
  bool silent = false;
  answer = [&](const std::string& domain) {
    if (silent) return;
    Resolution found = served_by("mx", until);
    found.refresh_from = until + Milliseconds{-60'000};
    station.queue->domain_resolved(domain, found);
  };
  size_t sent = 0;
  const auto send_until = [&](Milliseconds end) {  // a message each 10 s; none ever waits
    while (station.io->now() < begun + end) {
      station.submit_to({"bob@example.org"});
      ++sent;
      station.run_for(seconds(10));
      EXPECT_EQ(station.count(Kind::delivered), sent);
    }
  };
  send_until(Milliseconds{530'000});
  EXPECT_EQ(station.asked.size(), 1U);
  silent = true;
  send_until(Milliseconds{560'000});  // the last tenth has begun
  EXPECT_EQ(station.asked.size(), 2U);
  silent = false;
  answer("example.org");  // what was known before: it is asked for again before it ends
  until = begun + minutes(20);
  send_until(Milliseconds{590'000});
  EXPECT_EQ(station.asked.size(), 3U);
  send_until(minutes(12));  // past the first end
  EXPECT_EQ(station.asked.size(), 3U);
}

TEST_F(Domains, ARefreshmentThatFailsTakesNothingAway) {
  const Monotonic begun = station.io->now();
  const Monotonic until = begun + minutes(10);
  answer = [&](const std::string& domain) {
    Resolution found = served_by("mx", until);
    found.refresh_from = until + Milliseconds{-60'000};
    if (station.asked.size() > 1) {
      found = troubled(Resolution::Kind::temporary, 0, {4, 4, 3}, "SERVFAIL",
                       station.io->now() + seconds(30));
    }
    station.queue->domain_resolved(domain, found);
  };
  size_t sent = 0;
  while (station.io->now() < until + seconds(-5)) {
    station.submit_to({"bob@example.org"});
    ++sent;
    station.run_for(seconds(5));
  }
  EXPECT_EQ(station.count(Kind::delivered), sent);
  EXPECT_GT(station.asked.size(), 2U);
  EXPECT_LT(station.asked.size(), 10U);
  station.run_for(seconds(40));  // its end, and the time that is added while it is asked for
  station.submit_to({"bob@example.org"});
  station.run_for(seconds(5));
  EXPECT_EQ(station.count(Kind::delivered), sent);
}

TEST_F(Domains, WhatWasKnownIsUsedForAWhileWhileItIsAskedForAnew) {
  bool silent = false;
  answer = [&](const std::string& domain) {
    if (!silent) known(domain, "mx", seconds(40));
  };
  size_t delivered = 0;
  const auto send = [&](size_t expected) {
    station.submit_to({"bob@example.org"});
    station.run_for(seconds(1));
    delivered += expected;
    EXPECT_EQ(station.count(Kind::delivered), delivered);
  };
  send(1);
  silent = true;
  station.run_for(seconds(40));
  for (int i = 0; i < 25; ++i) send(1);  // its time is over, and nobody answers
  EXPECT_EQ(station.asked.size(), 2U);
  station.run_for(seconds(10));
  send(0);  // now it is too old
  EXPECT_EQ(station.asked.size(), 2U);
  known("example.org", "mx", seconds(40));
  station.run_for(seconds(1));
  EXPECT_EQ(station.count(Kind::delivered), ++delivered);
}

TEST_F(Domains, WhatWasKnownIsUsedNoMoreWhenNobodyCouldSay) {
  answer = [&](const std::string& domain) { known(domain, "mx", seconds(40)); };
  station.submit_to({"bob@example.org"});
  station.run_for(seconds(41));
  answer = [](const std::string&) {};
  station.submit_to({"bob@example.org"});
  station.run_for(seconds(1));
  EXPECT_EQ(station.count(Kind::delivered), 2U);
  station.queue->domain_resolved(
      "example.org", troubled(Resolution::Kind::temporary, 0, {4, 4, 3},
                              "no server answered in time", station.io->now() + seconds(30)));
  station.submit_to({"bob@example.org"});
  station.run_for(seconds(5));
  EXPECT_EQ(station.count(Kind::delivered), 2U);
}

// The schedule of the MX host holds for all domains it serves, but for those with one of their own.
TEST_F(Domains, TheirSiteMayHaveAScheduleOfItsOwn) {
  station.end();
  RetryOptions& retry = station.options.retry;
  retry.jitter = 0;
  SiteRetryRule provider{{".provider.example"}, retry};
  provider.retry.first = seconds(20);
  provider.retry.expire_after = minutes(3);
  RetryRule special{{"special.example"}, retry};
  special.retry.first = seconds(5);
  station.options.site_retry_rules = {provider};
  station.options.retry_rules = {special};
  station.begin();
  bool slow = false;
  answer = [&](const std::string& domain) {
    if (slow) return;
    Resolution found = served_by(domain == "other.example" ? "other" : "mx1.provider.example",
                                 station.io->now() + hours(1));
    found.hosts[0].name = found.site;
    station.queue->domain_resolved(domain, found);
  };
  station.peer = [](Job& job) { judge_all(job, Verdict::deferred, 450, "4.2.1 busy"); };
  station.submit_to({"x@a.example", "x@b.example", "x@special.example", "x@other.example"});
  station.run_for(seconds(1));
  std::map<std::string, int64_t> waits;
  for (const Told& told : station.told) {
    if (told.kind == Kind::deferred) waits[told.address] = (told.next_attempt - told.at).count;
  }
  const std::map<std::string, int64_t> wanted = {{"x@a.example", 20'000},
                                                 {"x@b.example", 20'000},
                                                 {"x@special.example", 5000},
                                                 {"x@other.example", 60'000}};
  EXPECT_EQ(waits, wanted);
  // What waited to know its domain expires by the site's schedule, too.
  slow = true;
  station.submit_to({"x@late.example"});
  station.run_for(minutes(2));
  slow = false;
  answer("late.example");
  station.run_for(minutes(2));
  EXPECT_EQ(station.addresses_of(Kind::expired),
            (std::vector<std::string>{"x@a.example", "x@b.example", "x@late.example"}));
}

// A rule for MX hosts holds for all domains they serve, but for those with a rule of their own; and
// whatever else serves such a domain is spoken to in the same way.
TEST_F(Domains, AConnectionRuleMayBeForTheirHosts) {
  station.end();
  station.options.connection_rules = {
      {{}, "tls verified", {".provider.example"}},
      {{}, "tls required", {"mx9.provider.example"}},
      {{"open.example"}, "tls none"},
  };
  station.begin();
  const std::map<std::string, std::vector<std::string>> hosts = {
      {"a.example", {"mx1.provider.example"}},
      {"b.example", {"mx1.provider.example"}},
      {"open.example", {"mx1.provider.example"}},
      {"exact.example", {"mx9.provider.example", "mx1.provider.example"}},
      {"filtered.example", {"filter.example", "mx2.provider.example"}},
      {"other.example", {"mx.other.example"}},
  };
  answer = [&](const std::string& domain) {
    Resolution found = served_by("", station.io->now() + hours(1));
    found.hosts.clear();
    for (const std::string& name : hosts.at(domain)) {
      found.site += found.site.empty() ? name : ";" + name;
      found.hosts.push_back({name, host_at("192.0.2.7:25").address,
                             static_cast<uint16_t>(10 * (found.hosts.size() + 1))});
    }
    station.queue->domain_resolved(domain, found);
  };
  station.peer = nullptr;
  for (const auto& [domain, names] : hosts) station.submit_to({"x@" + domain});
  station.run_for(seconds(1));
  std::map<std::string, uint32_t> seen;
  for (uint32_t i = 0; i < station.queue->sites(); ++i) {
    seen[station.queue->site({i}).name] = station.queue->site({i}).rule;
  }
  const std::map<std::string, uint32_t> wanted = {
      {"mx1.provider.example (tls verified)", 0},
      {"mx1.provider.example (tls none)", 2},
      {"mx9.provider.example;mx1.provider.example (tls required)", 1},
      {"filter.example;mx2.provider.example (tls verified)", 0},
      {"mx.other.example", kNoRule},
  };
  EXPECT_EQ(seen, wanted);
}

// Domains that are spoken to in different ways (TLS) never share a site, though they share hosts.
TEST_F(Domains, UnderDifferentConnectionRulesHaveSitesOfTheirOwn) {
  station.end();
  station.options.connection_rules = {{{"safe.example", ".safe.example"}, "tls verified"},
                                      {{"open.example"}, "tls none"}};
  station.begin();
  answer = [this](const std::string& domain) { known(domain, "mx.example.net"); };
  station.peer = nullptr;
  station.submit_to({"a@safe.example", "b@mail.safe.example", "c@open.example", "d@other.example",
                     "e@another.example"});
  station.run_for(seconds(1));
  ASSERT_EQ(station.queue->sites(), 3U);
  std::map<std::string, std::pair<uint32_t, size_t>> seen;  // name: rule, recipients of its job
  for (uint32_t i = 0; i < 3; ++i) {
    const Site& site = station.queue->site({i});
    Job* job = station.take({i});
    ASSERT_NE(job, nullptr);
    seen[site.name] = {site.rule, job->recipients.size()};
    deliver(*job);
    station.queue->job_done(job);
  }
  const std::map<std::string, std::pair<uint32_t, size_t>> wanted = {
      {"mx.example.net", {kNoRule, 2}},
      {"mx.example.net (tls verified)", {0, 2}},
      {"mx.example.net (tls none)", {1, 1}}};
  EXPECT_EQ(seen, wanted);
  // A site that is down under one rule is up under another.
  const auto id_of = [&](const std::string& name) {
    for (uint32_t i = 0; i < 3; ++i) {
      if (station.queue->site({i}).name == name) return SiteId{i};
    }
    return SiteId{};
  };
  station.queue->site_failed(id_of("mx.example.net (tls verified)"), "no TLS",
                             station.io->now() + hours(1));
  station.submit_to({"a@safe.example"});
  station.submit_to({"d@other.example"});
  station.run_for(seconds(1));
  EXPECT_EQ(station.queue->work(id_of("mx.example.net (tls verified)")), 0U);
  EXPECT_EQ(station.queue->work(id_of("mx.example.net")), 1U);
}

TEST_F(Domains, AMillionWaitingForOneMoveOnInSlices) {
  station.peer = nullptr;
  for (int i = 0; i < 50'000; ++i) station.submit_to({"bob@example.org"});
  station.run_for(seconds(1));
  known("example.org", "mx");
  EXPECT_EQ(station.queue->work({0}), 0U);
  station.queue->run();
  const uint32_t slice = station.queue->work({0});
  EXPECT_GT(slice, 0U);
  EXPECT_LT(slice, 10'000U);
  station.run_for(seconds(1));
  EXPECT_EQ(station.queue->work({0}), 50'000U);
}

TEST_F(Domains, OfLentJobsTheHomeMakesTheSite) {
  QueueOptions many = options();
  many.mx.connections_max = 1;
  const ShardId home = home_of("mx", 4);
  Station keeper(many, 4, ShardId{static_cast<uint16_t>((home.value + 1) % 4)}, &station);
  keeper.end();
  keeper.resolve = [&](const std::string& domain) {
    keeper.queue->domain_resolved(domain, served_by("mx", keeper.io->now() + hours(1)));
  };
  keeper.begin();
  keeper.submit_to({"bob@example.org"});
  keeper.run_for(seconds(1));
  ASSERT_EQ(keeper.lent.size(), 1U);
  Job* job = keeper.lent[0].second;
  station.queue->borrow(job);
  const Site& site = station.queue->site(job->site);
  EXPECT_EQ(site.name, "mx");
  EXPECT_EQ(site.hosts.size(), 1U);
  deliver(*job);
  keeper.queue->job_done(job);
  EXPECT_EQ(keeper.count(Kind::delivered), 1U);
}

// A client chooses how it writes a domain; the rules are about what it means.
TEST(DomainNames, NoSpellingEscapesARoute) {
  QueueOptions options = plain_options();
  options.routes = {route_to("books", {"xn--bcher-kva.example"}),
                    route_to("partner", {"partner.example"}), route_to("rest", {"*"})};
  Station station(options);
  station.peer = nullptr;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"b\xC3\xBC"
       "cher.example",
       "books"},
      {"B\xC3\x9C"
       "CHER.Example",
       "books"},
      {"XN--BCHER-KVA.example", "books"},
      {"\xEF\xBD\x90"
       "artner.example",
       "partner"},
      {"m\xC3\xBCller.example", "rest"}};
  for (const auto& [domain, site] : cases) {
    SCOPED_TRACE(domain);
    station.submit_to({"x@" + domain});
    station.run_for(seconds(1));
    Queue::Filter filter;
    filter.domain = domain;
    std::vector<std::string> sites;
    for (const auto& entry : station.queue->list(filter, 0, 200).entries)
      sites.push_back(entry.site);
    ASSERT_FALSE(sites.empty());
    EXPECT_EQ(sites.back(), site);
  }
}

}  // namespace
}  // namespace ringmta::queue
