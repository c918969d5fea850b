// SPDX-License-Identifier: GPL-3.0-or-later
// One run: a whole relay of several shards with its disk, its submitters, the DNS and the mail
// hosts of the world, in one thread, decided by one seed.
//
// A run has two parts. While there is trouble, mail is handed in, and everything that the plan
// names goes wrong: the network, the disk, DNS, hosts, the relay's own life. Then the world is
// good, and what was accepted must come to its end: delivered, or its sender told. What may not be
// seen is checked by the ledger; that nothing is left open, by the machine.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ringmta/base/time.h"

namespace ringmta::simulation {

// What a seed decides before anything happens; printed with --plan.
struct Plan {
  uint64_t seed = 0;
  uint32_t shards = 1;
  uint32_t domains = 4, sites = 3;
  uint32_t mails = 50;
  uint32_t sessions = 4;
  uint32_t connections_per_site = 2;
  Milliseconds over{60'000};      // mail is handed in
  Milliseconds trouble{120'000};  // then everything is good
  uint32_t trouble_level = 0;     // 0: none at all
  uint32_t crashes = 0;
  bool power = false;  // crashes lose what was not synced
  uint32_t disk_faults = 0;
  uint64_t disk_capacity = UINT64_MAX;
  bool clock_jumps = false;
  bool dns_trouble = false;
  Milliseconds expire_after{600'000};
  uint64_t memory_max = 8 << 20;  // of contents: less means that they are read back from disk
  // The second generation.
  bool scarce_ring = false;   // receive buffers, completions; cancellations that take their time
  bool read_faults = false;   // reads that fail, end short or have a wrong bit; the next is right
  uint32_t rot = 0;           // messages that the disk changes, a bit each
  bool rot_anywhere = false;  // ... or whatever else lies there
  bool dns_lies = false;
  uint32_t storms = 0;         // times in which a site's hosts refuse nearly everything
  bool far_jumps = false;      // the clock is set by up to ten years
  uint32_t sessions_max = 0;   // 0: the default
  uint64_t disk_max = 0;       // of segments per shard; 0: any
  Milliseconds dns_outage{0};  // no answer at all
  Milliseconds mx_outage{0};   // no host but the senders'
  // The fourth.
  bool buffered = false;             // writes through the page cache, with a sync each
  uint32_t recipients_max = 0;       // queued per shard; 0: the default
  uint32_t sessions_per_client = 0;  // 0: any
  static constexpr uint32_t kGenerations = 4;
  static Plan of(uint64_t seed, uint32_t generation = kGenerations);
  // All hosts are gone for a day, but those of the senders, and back.
  static Plan day_without_hosts(uint64_t seed);
};
std::string text(const Plan& plan);

struct Outcome {
  std::vector<std::string> violations;
  uint64_t trace = 0;
  std::map<std::string, uint64_t> refusals;     // of messages, by reply
  std::map<std::string, uint64_t> struck;       // faults, by name
  uint64_t kept = 0, refused = 0, unknown = 0;  // messages
  uint64_t copies = 0, notices = 0;             // recipients
  uint64_t crashes = 0, starts = 0;
  uint64_t memory_max = 0;  // octets a shard accounted for, at most
  uint64_t expired = 0;     // recipients, as the relay says
  Milliseconds simulated{};
  std::string events;  // the relay's own account
};

Outcome run(const Plan& plan);

// Every fault that the simulator knows: those that did not strike in `struck`.
std::vector<std::string> faults_missing(const std::map<std::string, uint64_t>& struck);

}  // namespace ringmta::simulation
