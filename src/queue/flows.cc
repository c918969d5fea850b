// SPDX-License-Identifier: GPL-3.0-or-later
// Flows come and go with their deliveries: a flow exists while it has some, so an idle tenant costs
// nothing and gathers no credit (as the algorithm asks).
#include "flows.h"

namespace ringmta::queue {

uint32_t Flows::find(uint32_t site, uint32_t tenant) {
  return table_.find(hash(site, tenant), [&](uint32_t index) {
    const Flow& flow = *pool_.at_index(index);
    return flow.site == site && flow.tenant == tenant;
  });
}

uint32_t Flows::find_or_begin(SiteFlows& flows, uint32_t site, uint32_t tenant) {
  if (const uint32_t found = find(site, tenant); found != kNone) return found;
  SlotHandle handle;
  Flow& flow = *pool_.take(handle);
  flow.site = site;
  flow.tenant = tenant;
  table_.insert(hash(site, tenant), handle.index);
  if (flows.current == kNone) {
    flow.previous = flow.next = handle.index;
    flows.current = handle.index;
  } else {  // last in the round: before the current one
    Flow& current = *pool_.at_index(flows.current);
    flow.next = flows.current;
    flow.previous = current.previous;
    pool_.at_index(current.previous)->next = handle.index;
    current.previous = handle.index;
  }
  ++flows.flows;
  return handle.index;
}

void Flows::push_back(SiteFlows& flows, uint32_t site, uint32_t tenant, uint32_t delivery) {
  Flow& flow = *pool_.at_index(find_or_begin(flows, site, tenant));
  queue::push_back(deliveries_, flow.list, delivery);
  ++flows.deliveries;
}

void Flows::push_front(SiteFlows& flows, uint32_t site, uint32_t tenant, uint32_t delivery) {
  Flow& flow = *pool_.at_index(find_or_begin(flows, site, tenant));
  queue::push_front(deliveries_, flow.list, delivery);
  flow.head_cost = 0;
  ++flows.deliveries;
}

void Flows::remove(SiteFlows& flows, uint32_t site, uint32_t tenant, uint32_t delivery) {
  const uint32_t index = find(site, tenant);
  RINGMTA_ASSERT(index != kNone);
  Flow& flow = *pool_.at_index(index);
  if (flow.list.head == delivery) flow.head_cost = 0;
  take_off(deliveries_, flow.list, delivery);
  --flows.deliveries;
  end_if_empty(flows, index);
}

void Flows::serve_front(SiteFlows& flows, bool stays) {
  const uint32_t index = flows.current;
  Flow& flow = *pool_.at_index(index);
  if (flows.flows > 1) {
    RINGMTA_ASSERT(flow.deficit >= flow.head_cost);
    flow.deficit -= flow.head_cost;
  } else {
    flow.deficit = 0;
  }
  if (stays) return;
  flow.head_cost = 0;
  queue::pop_front(deliveries_, flow.list);
  --flows.deliveries;
  end_if_empty(flows, index);
}

void Flows::end_if_empty(SiteFlows& flows, uint32_t index) {
  Flow& flow = *pool_.at_index(index);
  if (!flow.list.empty()) return;
  table_.erase(hash(flow.site, flow.tenant), index);
  --flows.flows;
  if (flows.flows == 0) {
    flows.current = kNone;
  } else {
    pool_.at_index(flow.previous)->next = flow.next;
    pool_.at_index(flow.next)->previous = flow.previous;
    if (flows.current == index) {
      flows.current = flow.next;
      pool_.at_index(flow.next)->deficit += kQuantum;
    }
  }
  pool_.release(pool_.handle_at(index));
}

}  // namespace ringmta::queue
