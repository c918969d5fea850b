// SPDX-License-Identifier: GPL-3.0-or-later
// Where mail goes: domains and the sites that serve them, as the queue keeps them. Both exist while
// mail is queued for them and a while longer; sites of routes always.
#pragma once

#include <memory>
#include <string>

#include "flows.h"
#include "ringmta/base/time.h"
#include "ringmta/queue/options.h"
#include "ringmta/ring/timer_wheel.h"

namespace ringmta::queue {

struct DomainEntry {
  enum class State : uint8_t {
    known,    // `site` serves it
    unasked,  // on the list of those to ask about
    asked,    // somebody is finding out
    waiting,  // not to be found out now; the timer asks again
    refused,  // it takes no mail, for `reason`
  };
  std::string name;  // in lower case
  uint64_t hash = 0;
  uint32_t recipients = 0;  // queued
  uint32_t site = kNone;
  uint32_t retry = 0;       // which of the queue's schedules
  uint32_t rule = kNone;    // which of the queue's connection rules
  uint32_t reason = kNone;  // waiting, refused
  State state = State::unasked;
  enum class Refresh : uint8_t { none, wanted, asked } refresh = Refresh::none;  // while `known`
  uint8_t failures = 0;   // times in a row it could not be found out
  bool routed = false;    // by the configuration: `site` is for good
  bool draining = false;  // on the list of refused domains with mail still to be returned
  IndexList unresolved;   // deliveries that wait to know
  Monotonic until = Monotonic::never();         // how long a state of known, waiting, refused holds
  Monotonic refresh_from = Monotonic::never();  // known: asked again ahead of its end
  ring::Timer timer;                            // waiting
  uint32_t previous = kNone, next = kNone;      // of those to ask, to refresh, or idle
  Monotonic idle_since{};
};

inline constexpr uint32_t kWindowOpen = UINT32_MAX;

struct SiteEntry {
  Site site;
  std::shared_ptr<const Site> lent;  // copy for jobs that are lent; made anew when it changed
  SiteFlows flows;                   // ready
  IndexList loaded;
  uint32_t loading = 0, active = 0;
  uint32_t users = 0;  // deliveries and domains that name it
  uint32_t recipients_max = 100;
  // A site that was unreachable: how many jobs may be out. 1 while one probes, then it grows.
  uint32_t window = kWindowOpen;
  uint32_t reason = kNone;
  bool held = false;     // nothing is tried until the timer
  bool local = true;     // this shard has connections to it
  bool crowded = false;  // ... and would, but its hosts take none of this shard (crowded.cc)
  ShardId lend_to{};     // where not local
  Monotonic refused_until{}, own_again_at{};             // where crowded
  bool lending = false, starved = false, poked = false;  // on the lists of those
  ring::Timer timer;                                     // end of the hold
  uint32_t previous = kNone, next = kNone;               // of those idle
  bool idle = false;
  Monotonic idle_since{};
};

using DomainPool = SlotPool<DomainEntry, 64>;
using SitePool = SlotPool<SiteEntry, 64>;

}  // namespace ringmta::queue
