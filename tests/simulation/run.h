// SPDX-License-Identifier: GPL-3.0-or-later
// One run while it goes on: its course (simulation.cc), the world it begins with (making.cc), and
// what goes wrong in it (trouble.cc).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "../dns/script.h"
#include "hosts.h"
#include "ledger.h"
#include "liar.h"
#include "machine.h"
#include "ringmta/sim/world.h"
#include "simulation.h"
#include "submitters.h"

namespace ringmta::simulation {

inline constexpr const char* kRelay = "10.0.0.1:25";
inline constexpr const char* kSpool = "/spool";
inline constexpr Milliseconds kLimitSlack = seconds(5);

std::string address_of(uint32_t site, uint32_t host);

class Run final {
 public:
  explicit Run(const Plan& plan)
      : plan_(plan),
        random_(plan.seed ^ 0x5EED),
        world_(options_of(plan)),
        machine_(world_),
        hosts_(world_, ledger_, random_.next()) {
    if (plan.dns_lies) liar_ = std::make_unique<Liar>(world_, plan.seed);
  }

  Outcome go();

 private:
  static sim::WorldOptions options_of(const Plan& plan);
  bool chance(uint32_t one_in) { return random_.below(one_in) == 0; }
  Milliseconds up_to(Milliseconds most) {
    return Milliseconds{static_cast<int64_t>(random_.below(static_cast<uint64_t>(most.count) + 1))};
  }

  void publish(const std::string& name, dns::RecordType type, uint32_t ttl_s,
               const std::string& data);
  void make_hosts();
  void make_mails();
  std::string configuration(uint32_t shards) const;
  Manners manners();
  bool dns_fails(const dns::Asked& question);
  void plan_events();
  void happen();
  void start();
  void crash();
  void fault();
  void read_fault();
  void storm();
  void outage(bool begins);
  void watch();
  void live_until(Monotonic end);
  void set_aside_what_rots();
  void say_what_was_found();
  void begin_trouble();
  void end_trouble();
  size_t deliverable() const;
  Milliseconds outcome_window() const;
  void close_up();
  void complain(std::string what) { ledger_.oddities.push_back(std::move(what)); }

  enum class What : uint8_t {
    crash,
    start,
    fault,
    jump,
    read_fault,
    rot,
    storm,
    dns_gone,
    dns_back,
    hosts_gone
  };
  struct Coming {
    Monotonic at;
    What what;
  };

  const Plan plan_;
  Prng random_;
  sim::World world_;
  Ledger ledger_;
  Machine machine_;
  Hosts hosts_;
  std::unique_ptr<Liar> liar_;
  dns::ScriptedServer dns_[2];
  std::unique_ptr<Submitters> submitters_;
  std::vector<std::string> domains_;
  std::vector<Coming> coming_;            // the last is the next
  dns::ScriptedServer* asked_ = nullptr;  // the one whose script runs
  bool trouble_ = false;
  bool dns_gone_ = false;
  uint64_t lives_ = 0;
  uint64_t lost_events_ = 0;
  uint64_t memory_max_ = 0;
  Milliseconds stall_max_{0};                          // of a disk operation
  int64_t network_us_max_ = 500, disk_us_max_ = 1000;  // latencies at their worst
};

}  // namespace ringmta::simulation
