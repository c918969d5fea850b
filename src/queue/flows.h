// SPDX-License-Identifier: GPL-3.0-or-later
// Whose turn it is at a site: deficit round robin (Shreedhar and Varghese, 1996) among the tenants
// that have deliveries ready there. A tenant with a million messages waiting and one with a single
// message share the site's connections as equals; the cost of a choice does not depend on how many
// wait.
//
// Cost of a delivery: the octets of its message plus kTransactionCost (a transaction has round
// trips of its own), at most kCostMax, so that one huge message cannot make the search long.
#pragma once

#include <algorithm>

#include "entries.h"
#include "index_table.h"

namespace ringmta::queue {

inline constexpr uint32_t kQuantum = 32'768;  // octets a tenant may send per round
inline constexpr uint32_t kTransactionCost = 2048;
inline constexpr uint32_t kCostMax = 1'048'576;

constexpr uint32_t cost_of(uint64_t octets) {
  return static_cast<uint32_t>(std::min<uint64_t>(octets + kTransactionCost, kCostMax));
}

// The flows of one site; a member of the site.
struct SiteFlows {
  uint32_t current = kNone;  // whose turn it is
  uint32_t flows = 0;
  uint32_t deliveries = 0;  // in all flows
};

class Flows final {
 public:
  explicit Flows(DeliveryPool& deliveries) : deliveries_(deliveries) {}

  // `site` and `tenant` are the numbers under which the flow is found.
  void push_back(SiteFlows& flows, uint32_t site, uint32_t tenant, uint32_t delivery);
  void push_front(SiteFlows& flows, uint32_t site, uint32_t tenant, uint32_t delivery);
  void remove(SiteFlows& flows, uint32_t site, uint32_t tenant, uint32_t delivery);

  // The delivery whose turn it is, left where it is; kNone when there is none. `cost` gives the
  // cost of a delivery and is asked once for each.
  template <typename Cost>
  uint32_t front(SiteFlows& flows, Cost&& cost) {
    if (flows.current == kNone) return kNone;
    Flow* flow = pool_.at_index(flows.current);
    if (flows.flows == 1) return flow->list.head;  // nobody to be fair to
    for (;;) {
      if (flow->head_cost == 0) flow->head_cost = cost(flow->list.head);
      if (flow->deficit >= flow->head_cost) return flow->list.head;
      flows.current = flow->next;
      flow = pool_.at_index(flows.current);
      flow->deficit += kQuantum;
    }
  }
  // front() is served: taken off, or (`stays`) only charged for a part of it.
  void serve_front(SiteFlows& flows, bool stays);

  size_t memory_octets() const { return pool_.memory_bytes() + table_.memory_octets(); }

 private:
  struct Flow {
    uint32_t site = 0, tenant = 0;
    IndexList list;
    uint32_t deficit = 0;
    uint32_t head_cost = 0;                   // 0: not known
    uint32_t previous = kNone, next = kNone;  // ring of the site's flows
  };

  static uint64_t hash(uint32_t site, uint32_t tenant) {
    return mix((static_cast<uint64_t>(site) << 32) + tenant);
  }
  uint32_t find(uint32_t site, uint32_t tenant);
  uint32_t find_or_begin(SiteFlows& flows, uint32_t site, uint32_t tenant);
  void end_if_empty(SiteFlows& flows, uint32_t index);

  DeliveryPool& deliveries_;
  SlotPool<Flow> pool_{kNone};
  IndexTable table_;
};

}  // namespace ringmta::queue
