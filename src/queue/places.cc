// SPDX-License-Identifier: GPL-3.0-or-later
// The ways of a delivery between its places.
//
// Its domain is looked at again whenever it is about to become ready, so an MX change reaches what
// was deferred long ago.
#include "queue_impl.h"

namespace ringmta::queue {

namespace {

uint64_t* counter_of(QueueCounters& counters, Place place) {
  switch (place) {
    case Place::ready:
    case Place::loading:
    case Place::loaded:
    case Place::unresolved:
      return &counters.ready;
    case Place::deferred:
      return &counters.deferred;
    case Place::active:
      return &counters.active;
    case Place::none:
    case Place::doomed:
      return nullptr;
  }
  return nullptr;
}

}  // namespace

void Queue::Impl::place(uint32_t index, Place to) {
  Delivery& delivery = *deliveries.at_index(index);
  if (uint64_t* counter = counter_of(counters, delivery.place); counter != nullptr) --*counter;
  if (uint64_t* counter = counter_of(counters, to); counter != nullptr) ++*counter;
  delivery.place = to;
}

void Queue::Impl::detach(uint32_t index) {
  Delivery& delivery = *deliveries.at_index(index);
  switch (delivery.place) {
    case Place::ready:
      flows.remove(sites.at_index(delivery.site)->flows, delivery.site,
                   messages.at_index(delivery.message)->tenant, index);
      break;
    case Place::loaded:
      take_off(deliveries, sites.at_index(delivery.site)->loaded, index);
      spool.unpin(messages.at_index(delivery.message)->stored);
      load_slot_free();
      break;
    case Place::deferred:
      retries.cancel(index);
      break;
    case Place::unresolved:
      take_off(deliveries, domains.at_index(delivery.domain)->unresolved, index);
      break;
    case Place::none:
    case Place::doomed:
      break;
    case Place::loading:
    case Place::active:
      RINGMTA_ASSERT(false);  // somebody else holds it
  }
  place(index, Place::none);
}

void Queue::Impl::assign_site(Delivery& delivery, uint32_t site) {
  if (delivery.site == site) return;
  if (site != kNone) ++sites.at_index(site)->users;
  if (delivery.site != kNone) drop_site_user(delivery.site);
  delivery.site = site;
}

// Recipients whose domains have equal companies may be in one delivery: the same site, or the same
// domain while it is not known, and the same schedule.
uint64_t Queue::Impl::company_of(uint32_t domain) {
  constexpr uint64_t kByDomain = 1ULL << 32;
  constexpr int kRuleShift = 33;
  const uint32_t site = current_site(domain);
  const uint64_t where = site != kNone ? site : kByDomain | domain;
  return where | static_cast<uint64_t>(domains.at_index(domain)->retry) << kRuleShift;
}

// From place none to where it has to wait. Recipients that have come to belong to different sites
// part here.
void Queue::Impl::dispatch(uint32_t index) {
  while (deliveries.at_index(index)->several) {
    Recipient room;
    const auto recipients = recipients_of(*deliveries.at_index(index), room);
    const uint64_t first = company_of(recipients[0].domain);
    first_part.clear();
    second_part.clear();
    for (const Recipient& recipient : recipients) {
      (company_of(recipient.domain) == first ? first_part : second_part).push_back(recipient);
    }
    if (second_part.empty()) break;
    dispatch_one(split(index, first_part, second_part));
  }
  dispatch_one(index);
}

void Queue::Impl::dispatch_one(uint32_t index) {
  Delivery& delivery = *deliveries.at_index(index);
  const uint32_t site = current_site(delivery.domain);
  if (site != kNone) return make_ready(index, site, false);
  DomainEntry& domain = *domains.at_index(delivery.domain);
  assign_site(delivery, kNone);
  if (domain.state == DomainEntry::State::refused) {
    delivery.refused = true;
    reasons.drop(delivery.reason);
    delivery.reason = reasons.use_again(domain.reason);
    return doom(index);
  }
  place(index, Place::unresolved);
  push_back(deliveries, domain.unresolved, index);
}

void Queue::Impl::make_ready(uint32_t index, uint32_t site_index, bool first) {
  Delivery& delivery = *deliveries.at_index(index);
  SiteEntry& site = *sites.at_index(site_index);
  assign_site(delivery, site_index);
  place(index, Place::ready);
  const uint32_t tenant = messages.at_index(delivery.message)->tenant;
  if (first) {
    flows.push_front(site.flows, site_index, tenant, index);
  } else {
    flows.push_back(site.flows, site_index, tenant, index);
  }
  announce(site);
}

void Queue::Impl::defer(uint32_t index, uint32_t due) {
  place(index, Place::deferred);
  retries.arm(index, due);
}

// Its fate is known; the message's head must be read to tell it.
void Queue::Impl::doom(uint32_t index) {
  place(index, Place::doomed);
  make_chore(deliveries.at_index(index)->message);
}

// Where it goes, as far as that is known. What was deferred before a restart comes back without a
// site and gets one for its next attempt; until then it is where its domain goes.
uint32_t Queue::Impl::site_of(const Delivery& delivery) {
  if (delivery.site != kNone || delivery.domain == kNone) return delivery.site;
  return domains.at_index(delivery.domain)->site;
}

// What is known of why it is still here.
ReasonView Queue::Impl::why(const Delivery& delivery) {
  if (const uint32_t index = site_of(delivery); index != kNone) {
    const SiteEntry& site = *sites.at_index(index);
    if (site.reason != kNone && (site.held || delivery.reason == kNone))
      return reasons.view(site.reason);
  }
  if (delivery.reason == kNone && delivery.domain != kNone)
    return reasons.view(domains.at_index(delivery.domain)->reason);
  return reasons.view(delivery.reason);
}

}  // namespace ringmta::queue
