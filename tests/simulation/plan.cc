// SPDX-License-Identifier: GPL-3.0-or-later
// From a seed to a plan. What was added later is decided by a generator of its own, so that a named
// seed goes on meaning what it meant when it was named.
#include <fmt/format.h>

#include "ringmta/base/prng.h"
#include "simulation.h"

namespace ringmta::simulation {

namespace {

class Dice final {
 public:
  explicit Dice(uint64_t seed) : random_(seed) {}
  uint32_t between(uint64_t low, uint64_t high) {
    return static_cast<uint32_t>(low + random_.below(high - low + 1));
  }
  Milliseconds seconds_between(uint64_t low, uint64_t high) {
    return seconds(static_cast<int64_t>(between(low, high)));
  }
  bool one_in(uint64_t often) { return random_.below(often) == 0; }

 private:
  Prng random_;
};

// What the second generation of the simulator knows beyond the first.
void add_second(Plan& plan) {
  Dice dice(plan.seed * 0xD1342543DE82EF95ULL + 7);
  plan.scarce_ring = dice.one_in(3);
  plan.read_faults = dice.one_in(4);
  plan.rot = dice.one_in(8) ? dice.between(1, 6) : 0;
  plan.rot_anywhere = plan.rot > 0 && dice.one_in(3);
  plan.dns_lies = dice.one_in(3);
  plan.storms = dice.one_in(3) ? dice.between(1, 4) : 0;
  plan.far_jumps = plan.clock_jumps && dice.one_in(2);
  if (dice.one_in(5)) plan.sessions_max = dice.between(1, 4);
  if (dice.one_in(8)) plan.disk_max = dice.between(4, 12) * 1'048'576ULL;
  if (plan.read_faults || plan.rot > 0) plan.memory_max = 1 << 20;
  if (dice.one_in(12)) plan.dns_outage = dice.seconds_between(60, 7200);
  if (dice.one_in(25)) plan.mx_outage = dice.seconds_between(3600, 86'400);
  const Milliseconds outage = std::max(plan.dns_outage, plan.mx_outage);
  if (outage.count == 0) return;
  plan.trouble = plan.trouble + outage;
  plan.over = Milliseconds{outage.count / 2};
  plan.expire_after = outage + hours(2);  // nothing need be lost
}

// The third: a disk that the spool and the events fill.
void add_third(Plan& plan) {
  Dice dice(plan.seed * 0xA0761D6478BD642FULL + 3);
  if (!dice.one_in(6)) return;
  plan.disk_capacity = plan.shards * dice.between(2, 4) * 1'048'576ULL + dice.between(0, 2'000'000);
}

// The fourth: the other way of writing, and limits low enough to be met.
void add_fourth(Plan& plan) {
  Dice dice(plan.seed * 0x8EBC6AF09C88C6E3ULL + 5);
  plan.buffered = dice.one_in(4);
  if (dice.one_in(6)) plan.recipients_max = dice.between(10, 60);
  if (dice.one_in(6)) plan.sessions_per_client = dice.between(1, 3);
}

}  // namespace

Plan Plan::of(uint64_t seed, uint32_t generation) {
  Dice dice(seed * 0x9E3779B97F4A7C15ULL + 1);
  Plan plan;
  plan.seed = seed;
  plan.shards = dice.between(1, 4);
  plan.sites = dice.between(2, 8);
  plan.domains = plan.sites + dice.between(0, 12);
  plan.mails = dice.between(20, dice.one_in(4) ? 400 : 120);
  plan.sessions = dice.between(1, 12);
  plan.connections_per_site = dice.between(1, 6);
  plan.over = dice.seconds_between(1, 120);
  plan.trouble = plan.over + dice.seconds_between(1, 300);
  plan.trouble_level = dice.between(0, 3);
  plan.expire_after = dice.seconds_between(300, 3600);
  if (dice.one_in(3)) plan.memory_max = 1 << 20;
  if (plan.trouble_level == 0) return plan;
  plan.crashes = dice.one_in(2) ? 0 : dice.between(1, 5);
  plan.power = dice.one_in(2);
  plan.disk_faults = dice.one_in(3) ? dice.between(1, 6) : 0;
  if (dice.one_in(6)) plan.disk_capacity = dice.between(6, 30) * 1'048'576ULL;
  plan.clock_jumps = dice.one_in(4);
  plan.dns_trouble = dice.one_in(2);
  if (generation >= 2) add_second(plan);
  if (generation >= 3) add_third(plan);
  if (generation >= 4) add_fourth(plan);
  return plan;
}

Plan Plan::day_without_hosts(uint64_t seed) {
  Plan plan;
  plan.seed = seed;
  plan.shards = 2;
  plan.domains = 12;
  plan.sites = 6;
  plan.mails = 600;
  plan.memory_max = 1 << 20;
  plan.trouble_level = 1;
  plan.mx_outage = hours(24);
  plan.trouble = plan.mx_outage + minutes(5);
  plan.over = hours(6);
  plan.expire_after = hours(30);
  return plan;
}

std::string text(const Plan& plan) {
  std::string all = fmt::format(
      "seed {}: {} shards, {} domains at {} sites, {} mails by {} sessions in {} s, {} connections "
      "a site, trouble {} for {} s, {} crashes{}, {} disk faults, disk {}, expiry {} s",
      plan.seed, plan.shards, plan.domains, plan.sites, plan.mails, plan.sessions,
      plan.over.count / 1000, plan.connections_per_site, plan.trouble_level,
      plan.trouble.count / 1000, plan.crashes, plan.power ? " of the power" : "", plan.disk_faults,
      plan.disk_capacity == UINT64_MAX ? "unlimited"
                                       : fmt::format("{} MiB", plan.disk_capacity >> 20),
      plan.expire_after.count / 1000);
  const auto add = [&](bool is, std::string_view what) {
    if (is) (all += ", ") += what;
  };
  add(plan.dns_trouble, "DNS trouble");
  add(plan.clock_jumps, plan.far_jumps ? "far clock jumps" : "clock jumps");
  add(plan.scarce_ring, "scarce ring");
  add(plan.read_faults, "read faults");
  add(plan.rot > 0, fmt::format("{} octets rot{}", plan.rot, plan.rot_anywhere ? " anywhere" : ""));
  add(plan.dns_lies, "DNS lies");
  add(plan.storms > 0, fmt::format("{} storms", plan.storms));
  add(plan.sessions_max > 0, fmt::format("{} sessions", plan.sessions_max));
  add(plan.disk_max > 0, fmt::format("{} MiB of segments a shard", plan.disk_max >> 20));
  add(plan.buffered, "buffered writes");
  add(plan.recipients_max > 0, fmt::format("{} recipients a shard", plan.recipients_max));
  add(plan.sessions_per_client > 0, fmt::format("{} sessions a client", plan.sessions_per_client));
  add(plan.dns_outage.count > 0, fmt::format("no DNS for {} s", plan.dns_outage.count / 1000));
  add(plan.mx_outage.count > 0, fmt::format("no hosts for {} s", plan.mx_outage.count / 1000));
  return all;
}

}  // namespace ringmta::simulation
