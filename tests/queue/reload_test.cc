// SPDX-License-Identifier: GPL-3.0-or-later
// Other options while mail is queued: schedules, limits, and domains that change their route.
#include <algorithm>

#include "station.h"

namespace ringmta::queue {
namespace {

using Kind = Outcome::Kind;

QueueOptions two_routes(std::vector<std::string> first, std::vector<std::string> second) {
  QueueOptions options = plain_options();
  options.routes = {route_to("first", std::move(first)), route_to("second", std::move(second))};
  return options;
}

void reload(Station& station, QueueOptions options) {
  station.options = options;
  station.queue->reload(options);
}

std::vector<std::string> sites_of(const Station& station) {
  std::vector<std::string> sites;
  for (const Told& one : station.told) {
    if (one.kind == Kind::delivered) sites.push_back(one.site);
  }
  std::ranges::sort(sites);
  return sites;
}

TEST(Reload, MovesWhatStandsInLineToTheNewRoute) {
  Station station(two_routes({"*"}, {"other.example"}));
  station.peer = nullptr;
  for (int i = 0; i < 5000; ++i) station.submit_to({"bob@a.example", "eve@b.example"});
  station.run_for(seconds(1));
  reload(station, two_routes({"*"}, {"a.example"}));
  station.run_for(seconds(1));  // in slices
  station.let(deliver);
  station.run_for(seconds(5));
  const auto sites = sites_of(station);
  ASSERT_EQ(sites.size(), 10'000U);
  EXPECT_EQ(std::ranges::count(sites, "second"), 5000);
  EXPECT_EQ(std::ranges::count(sites, "first"), 5000);
}

TEST(Reload, GivesADomainBackToTheDns) {
  Station station(two_routes({"*"}, {"other.example"}));
  station.end();
  station.resolve = [&](const std::string& domain) {
    Resolution found;
    found.kind = Resolution::Kind::hosts;
    found.site = "mx of " + domain;
    found.hosts = {host_at("192.0.2.7:25")};
    found.until = Monotonic::never();
    station.queue->domain_resolved(domain, found);
    station.sites_with_work.insert(2);  // the first site behind those of the routes
  };
  station.begin();
  station.peer = nullptr;
  station.submit_to({"bob@a.example"});
  station.run_for(seconds(1));
  EXPECT_TRUE(station.asked.empty());
  reload(station, two_routes({"b.example"}, {"other.example"}));
  station.let(deliver);
  station.run_for(seconds(5));
  EXPECT_EQ(station.asked, std::vector<std::string>{"a.example"});
  EXPECT_EQ(sites_of(station), std::vector<std::string>{"mx of a.example"});
}

TEST(Reload, TakesADomainFromTheDnsEvenWhileItIsAskedAbout) {
  Station station(two_routes({"b.example"}, {"other.example"}));
  station.end();
  station.resolve = [](const std::string&) {};  // no answer, ever
  station.begin();
  station.submit_to({"bob@a.example"});
  station.run_for(seconds(1));
  ASSERT_EQ(station.asked.size(), 1U);
  reload(station, two_routes({"*"}, {"other.example"}));
  station.run_for(seconds(5));
  EXPECT_EQ(sites_of(station), std::vector<std::string>{"first"});
  station.queue->domain_resolved("a.example", {});  // late, and of no use any more
  station.submit_to({"eve@a.example"});
  station.run_for(seconds(5));
  EXPECT_EQ(sites_of(station).size(), 2U);
}

TEST(Reload, SchedulesCountFromTheNextFailureOn) {
  Station station;
  station.peer = [](Job& job) { judge_all(job, Verdict::deferred, 450, "4.2.0 later"); };
  station.submit_to({"bob@a.example"});
  station.run_for(seconds(1));
  QueueOptions options = plain_options();
  options.retry.first = seconds(5);
  options.retry.longest = seconds(5);
  reload(station, options);
  station.run_for(minutes(1) + seconds(31));
  EXPECT_EQ(station.jobs, 1U + 1U + 6U);  // at 0 and 60 s, then every 5 s
}

TEST(Reload, LimitsOfARouteHoldAtOnce) {
  Station station;
  EXPECT_EQ(station.queue->site({0}).connections_max, 100U);
  QueueOptions options = plain_options();
  options.routes[0].connections_max = 7;
  options.routes[0].messages_per_connection_max = 3;
  reload(station, options);
  EXPECT_EQ(station.queue->site({0}).connections_max, 7U);
  EXPECT_EQ(station.queue->site({0}).local_share, 7U);
  EXPECT_EQ(station.queue->site({0}).messages_per_connection_max, 3U);
}

// A change of what is under way counts for it when it comes back.
TEST(Reload, LeavesWhatIsUnderWayAlone) {
  Station station(two_routes({"*"}, {"other.example"}));
  station.peer = nullptr;
  station.submit_to({"bob@a.example"});
  station.run_for(seconds(1));
  Job* job = station.take();
  ASSERT_NE(job, nullptr);
  reload(station, two_routes({"other.example"}, {"*"}));
  station.run_for(seconds(1));
  judge_all(*job, Verdict::deferred, 450, "4.2.0 later");
  station.queue->job_done(job);
  station.let(deliver);
  station.run_for(hours(1));
  EXPECT_EQ(sites_of(station), std::vector<std::string>{"second"});
}

}  // namespace
}  // namespace ringmta::queue
