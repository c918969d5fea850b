// SPDX-License-Identifier: GPL-3.0-or-later
// Domains without a route: asked about once, shared sites, refusals, changes, and what is idle.
#include <algorithm>

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
  for (int i = 0; i < 5000; ++i) station.submit_to({"bob@d" + std::to_string(i) + ".example"});
  station.run_for(seconds(10));
  EXPECT_EQ(station.asked.size(), 1024U);
  for (int i = 0; i < 5000; ++i) {
    if (static_cast<size_t>(i) < station.asked.size())
      known(station.asked[static_cast<size_t>(i)], "mx");
    if (i % 512 == 0) station.run_for(Milliseconds{10});
  }
  station.run_for(seconds(10));
  for (size_t i = 0; i < station.asked.size(); ++i) known(station.asked[i], "mx");
  station.run_for(seconds(10));
  EXPECT_EQ(station.count(Kind::delivered), 5000U);
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

}  // namespace
}  // namespace ringmta::queue
