// SPDX-License-Identifier: GPL-3.0-or-later
// Everything at once, from a seed: mail of all kinds, peers of all tempers, dead sites, a full or
// slow disk, evictions, an impatient operator, a wall clock that jumps, restarts. Then calm. What
// must hold: every recipient has exactly one final fate (after a restart: at least one), nothing
// stays pinned, nothing is left anywhere.
#include <map>

#include "ringmta/base/prng.h"
#include "station.h"

namespace ringmta::queue {
namespace {

using Kind = Outcome::Kind;

struct Chaos {
  explicit Chaos(uint64_t seed, bool with_restarts)
      : prng(seed), restarts(with_restarts), station(options()) {
    station.end();
    station.resolve = [this](const std::string& domain) { answer(domain); };
    station.site_gone = [this](SiteId) { return prng.below(2) == 0; };
    station.begin();
    station.peer = [this](Job& job) { judge_randomly(job); };
  }

  static QueueOptions options() {
    QueueOptions made = plain_options();
    made.routes = {route_to("smart", {".smart.example"}), route_to("small", {"small.example"})};
    made.routes[1].recipients_per_message_max = 3;
    made.retry = {.first = minutes(1),
                  .factor = 2,
                  .longest = hours(1),
                  .jitter = 0.3,
                  .expire_after = hours(10),
                  .delay_notice_after = hours(1)};
    RetryRule rule{{"quick.example"}, made.retry};
    rule.retry.expire_after = hours(2);
    made.retry_rules = {rule};
    return made;
  }

  bool one_in(uint64_t count) { return prng.below(count) == 0; }

  void answer(const std::string& domain) {
    Resolution found;
    found.until = station.io->now() + minutes(static_cast<int64_t>(1 + prng.below(60)));
    found.text = "as the dice fell";
    if (!calm && one_in(4)) {
      found.kind = Resolution::Kind::temporary;
    } else if (one_in(10)) {
      found.kind = Resolution::Kind::permanent;
      found.status = {5, 1, 2};
    } else {
      found.kind = Resolution::Kind::hosts;
      found.site = "mx" + std::to_string(prng.below(4));
      found.hosts = {host_at("192.0.2.9:25")};
    }
    if (!calm && one_in(3)) {
      late.emplace_back(domain, found);
    } else {
      station.queue->domain_resolved(domain, found);
    }
  }

  void judge_randomly(Job& job) {
    for (JobRecipient& recipient : job.recipients) {
      const uint64_t what = calm ? 0 : prng.below(8);
      if (what < 3) judge(recipient, Verdict::delivered, 250, "2.0.0 ok", smtp::Phase::content);
      if (what == 3 || what == 4) judge(recipient, Verdict::deferred, 450, "4.2.1 busy");
      if (what == 5) judge(recipient, Verdict::refused, 550, "5.1.1 no such user");
      if (what == 6) judge(recipient, Verdict::retry_now, 452, "too many recipients");
      if (what == 7) judge(recipient, Verdict::deferred, 421, "4.3.2 later", smtp::Phase::mail);
    }
    job.peer_has_dsn = one_in(2);
  }

  std::string random_address() {
    static const char* const domains[] = {"a.smart.example", "b.smart.example", "small.example",
                                          "quick.example",   "one.example",     "two.example",
                                          "three.example"};
    return "r" + std::to_string(++addresses) + "@" + domains[prng.below(std::size(domains))];
  }

  void submit() {
    Mail mail;
    if (one_in(5)) mail.from = "";
    if (one_in(3)) mail.tenant = "t" + std::to_string(prng.below(3));
    mail.lifetime = hours(10);
    const uint64_t count = one_in(4) ? 1 + prng.below(12) : 1;
    for (uint64_t i = 0; i < count; ++i) {
      const uint8_t notify = one_in(3) ? static_cast<uint8_t>(2 * prng.below(8)) : 0;
      mail.to.push_back({random_address(), notify});
    }
    if (station.disk.accepting) submitted.emplace_back(station.submit(mail).value, mail);
  }

  Queue::Filter random_filter() {
    Queue::Filter filter;
    if (one_in(3)) filter.domain = "one.example";
    if (one_in(3)) filter.site = "smart";
    if (one_in(3)) filter.sender = "news@sender.example";
    return filter;
  }

  void step() {
    switch (prng.below(16)) {
      case 0:
        station.disk.accepting = !station.disk.accepting;
        break;
      case 1:
        station.disk.holds_commits = !station.disk.holds_commits;
        break;
      case 2:
        station.disk.holds_loads = !station.disk.holds_loads;
        break;
      case 3:
      case 4:
      case 5:
        station.disk.evict_all();
        break;
      case 6:
        station.world.step_wall_clock(
            restarts ? Milliseconds{0} : hours(-50 + static_cast<int64_t>(prng.below(101))));
        break;
      case 7:
        station.queue->site_failed({static_cast<uint32_t>(prng.below(2))}, "down",
                                   station.io->now() + minutes(30));
        break;
      case 8:
        station.queue->site_recovered({static_cast<uint32_t>(prng.below(2))});
        break;
      case 9:
        station.queue->list(random_filter(), 0, 1 + prng.below(20));
        break;
      case 10:
        station.queue->retry(random_filter(), 0);
        break;
      case 11:
        if (one_in(4)) station.queue->remove(random_filter(), 0);
        break;
      case 12:
        hold_some_jobs();
        break;
      case 13:
        give_jobs_back();
        break;
      case 14:
        if (restarts && one_in(4)) restart();
        break;
      case 15:
        for (const auto& [domain, found] : late) station.queue->domain_resolved(domain, found);
        late.clear();
        break;
    }
  }

  void hold_some_jobs() {
    for (uint32_t site = 0; site < 2; ++site) {
      if (Job* job = station.take({site})) held.push_back(job);
    }
  }
  void give_jobs_back() {
    for (Job* job : held) {
      judge_randomly(*job);
      station.queue->job_done(job);
    }
    held.clear();
  }
  void restart() {
    held.clear();
    late.clear();
    station.end();
    station.disk.holds_loads = false;
    station.begin();
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      for (uint64_t k = prng.below(4); k > 0; --k) submit();
      step();
      for (uint32_t site = 0; site < 2; ++site) station.sites_with_work.insert(site);
      station.run_for(seconds(static_cast<int64_t>(prng.below(one_in(5) ? 3000 : 20))));
    }
    calm = true;
    give_jobs_back();
    station.disk.accepting = true;
    station.disk.holds_commits = station.disk.holds_loads = false;
    for (const auto& [domain, found] : late) station.queue->domain_resolved(domain, found);
    late.clear();
    station.queue->site_recovered({0});
    station.queue->site_recovered({1});
    for (uint32_t site = 0; site < 2; ++site) station.sites_with_work.insert(site);
    station.run_for(hours(30));
  }

  Prng prng;
  const bool restarts;
  Station station;
  bool calm = false;
  uint64_t addresses = 0;
  std::vector<std::pair<uint64_t, Mail>> submitted;
  std::map<std::string, int> fates;  // of accepted recipients: how many final ones
  std::vector<Job*> held;
  std::vector<std::pair<std::string, Resolution>> late;
};

void check(Chaos& chaos) {
  for (const auto& [id, mail] : chaos.submitted) {
    if (!chaos.station.committed.contains(id)) continue;  // it never had its 250
    for (const Mail::To& to : mail.to) chaos.fates[to.address] = 0;
  }
  for (const Told& told : chaos.station.told) {
    const bool is_final = told.kind == Kind::delivered || told.kind == Kind::bounced ||
                          told.kind == Kind::expired || told.kind == Kind::removed;
    if (is_final && chaos.fates.contains(told.address)) ++chaos.fates[told.address];
  }
  for (const auto& [address, count] : chaos.fates) {
    if (chaos.restarts) {
      EXPECT_GE(count, 1) << address;
    } else {
      EXPECT_EQ(count, 1) << address;
    }
  }
  EXPECT_TRUE(chaos.station.disk.messages.empty());
  EXPECT_EQ(chaos.station.disk.pins, 0);
  const QueueCounters& counters = chaos.station.queue->counters();
  EXPECT_EQ(counters.messages, 0U);
  EXPECT_EQ(counters.recipients, 0U);
  EXPECT_EQ(counters.ready + counters.deferred + counters.active, 0U);
}

TEST(Random, EveryRecipientHasOneFate) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    Chaos chaos(seed, false);
    chaos.run(150);
    check(chaos);
    ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed;
  }
}

TEST(Random, RestartsLoseNobody) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Chaos chaos(seed, true);
    chaos.run(150);
    check(chaos);
    ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace ringmta::queue
