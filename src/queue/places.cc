// SPDX-License-Identifier: GPL-3.0-or-later
// Domains and sites, and the ways of a delivery between its places.
//
// A domain is looked at again whenever one of its deliveries is about to become ready, so an MX
// change reaches what was deferred long ago. What waits for a domain moves on in slices, for there
// may be a million of them.
#include "places.h"

#include <algorithm>

#include "queue_impl.h"
#include "ringmta/base/log.h"

namespace ringmta::queue {

namespace {

constexpr uint32_t kAsksPerTurn = 256;
constexpr uint32_t kForgottenPerTurn = 64;

bool same_hosts(const std::vector<ResolvedHost>& a, const std::vector<ResolvedHost>& b) {
  return std::ranges::equal(a, b, [](const ResolvedHost& one, const ResolvedHost& other) {
    return one.name == other.name && one.address == other.address &&
           one.preference == other.preference;
  });
}

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

// ---- places of a delivery

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

// What is known of why it is still here.
ReasonView Queue::Impl::why(const Delivery& delivery) {
  if (delivery.site != kNone) {
    const SiteEntry& site = *sites.at_index(delivery.site);
    if (site.reason != kNone && (site.held || delivery.reason == kNone))
      return reasons.view(site.reason);
  }
  if (delivery.reason == kNone && delivery.domain != kNone)
    return reasons.view(domains.at_index(delivery.domain)->reason);
  return reasons.view(delivery.reason);
}

// ---- domains

uint32_t Queue::Impl::use_domain(std::string_view as_given) {
  lowered.assign(as_given);
  for (char& c : lowered) c = ascii_lower(c);
  const uint64_t hash = hash_text(lowered);
  uint32_t index = domain_table.find(
      hash, [&](uint32_t candidate) { return domains.at_index(candidate)->name == lowered; });
  if (index == kNone) {
    SlotHandle handle;
    DomainEntry& made = *domains.take(handle);
    index = handle.index;
    made.name = lowered;
    made.hash = hash;
    made.timer.token = ring::Token::make(shard::kind(shard::Owner::queue), kDomainTimers | index);
    const uint32_t route = routes.find(lowered);
    if (route != kNone) {
      made.routed = true;
      made.site = route;  // sites of routes have their numbers
      made.state = DomainEntry::State::known;
      made.retry = route_schedules[route];
    }
    if (const uint32_t rule = retry_rules.find(lowered); rule != kNone) made.retry = rule;
    domain_table.insert(hash, index);
  } else if (domains.at_index(index)->recipients == 0) {
    take_off(domains, idle_domains, index);
  }
  DomainEntry& domain = *domains.at_index(index);
  if (domain.recipients++ == 0 && domain.state == DomainEntry::State::unasked)
    push_back(domains, to_ask, index);
  return index;
}

void Queue::Impl::drop_domain(uint32_t index, uint32_t recipients) {
  DomainEntry& domain = *domains.at_index(index);
  RINGMTA_ASSERT(domain.recipients >= recipients);
  domain.recipients -= recipients;
  if (domain.recipients > 0) return;
  if (domain.state == DomainEntry::State::unasked) take_off(domains, to_ask, index);
  domain.idle_since = now();
  push_back(domains, idle_domains, index);
}

const RetryOptions& Queue::Impl::schedule(const Delivery& delivery) {
  return schedules[domains.at_index(delivery.domain)->retry];
}

uint32_t Queue::Impl::current_site(uint32_t index) {
  DomainEntry& domain = *domains.at_index(index);
  if (domain.routed) return domain.site;
  const bool settled =
      domain.state == DomainEntry::State::known || domain.state == DomainEntry::State::refused;
  if (settled && domain.until <= now()) ask_about(index);
  return domain.state == DomainEntry::State::known ? domain.site : kNone;
}

// Only of a domain with mail.
void Queue::Impl::ask_about(uint32_t index) {
  DomainEntry& domain = *domains.at_index(index);
  if (domain.state == DomainEntry::State::unasked || domain.state == DomainEntry::State::asked)
    return;
  loop.timers().cancel(domain.timer);
  domain.state = DomainEntry::State::unasked;
  push_back(domains, to_ask, index);
}

void Queue::Impl::domain_resolved(std::string_view name, const Resolution& resolution) {
  const std::string key = lower(name);
  const uint32_t index = domain_table.find(
      hash_text(key), [&](uint32_t candidate) { return domains.at_index(candidate)->name == key; });
  if (index == kNone) return;  // its mail is gone, and so is it
  DomainEntry& domain = *domains.at_index(index);
  if (domain.routed) return;
  if (domain.state == DomainEntry::State::asked) --asking;
  if (domain.state == DomainEntry::State::unasked && domain.recipients > 0)
    take_off(domains, to_ask, index);
  loop.timers().cancel(domain.timer);
  reasons.drop(domain.reason);
  domain.reason = kNone;
  domain.until = resolution.until;
  uint32_t site = kNone;
  if (resolution.kind == Resolution::Kind::hosts) {
    RINGMTA_ASSERT(!resolution.hosts.empty());
    site = find_site(resolution.site);
    if (site == kNone) site = make_site(resolution.site, kNoRoute, options.mx);
    ++sites.at_index(site)->users;
    set_hosts(*sites.at_index(site), resolution.hosts);
    domain.state = DomainEntry::State::known;
  } else {
    domain.reason = reasons.use(
        {resolution.text, {}, smtp::Phase::connect, resolution.code, resolution.status}, true);
    const bool refused = resolution.kind == Resolution::Kind::permanent;
    domain.state = refused ? DomainEntry::State::refused : DomainEntry::State::waiting;
  }
  if (domain.site != kNone) drop_site_user(domain.site);
  domain.site = site;
  if (domain.state == DomainEntry::State::waiting) {
    domain.until = std::max(domain.until, now() + seconds(1));
    if (domain.until != Monotonic::never()) loop.timers().arm(domain.timer, domain.until);
  } else {
    drain(index);
  }
}

void Queue::Impl::drain(uint32_t index) {
  DomainEntry& domain = *domains.at_index(index);
  if (domain.draining || domain.unresolved.empty()) return;
  domain.draining = true;
  draining.push_back(index);
  arm_tick();
}

uint32_t Queue::Impl::drain_some(DomainEntry& domain, uint32_t deliveries_max) {
  uint32_t count = 0;
  while (
      count < deliveries_max && !domain.unresolved.empty() &&
      (domain.state == DomainEntry::State::known || domain.state == DomainEntry::State::refused)) {
    const uint32_t delivery = domain.unresolved.head;
    detach(delivery);
    dispatch(delivery);
    ++count;
  }
  return count;
}

// True: there is more to do at once.
bool Queue::Impl::run_domains() {
  uint32_t left = kWorkPerTurn;
  while (left > 0 && !draining.empty()) {
    const uint32_t index = draining.back();
    DomainEntry& domain = *domains.at_index(index);
    const uint32_t done = drain_some(domain, left);
    left -= done;
    if (left == 0) break;
    domain.draining = false;
    draining.pop_back();
  }
  for (uint32_t asked = 0; asked < kAsksPerTurn && asking < kResolvesMax; ++asked) {
    const uint32_t index = pop_front(domains, to_ask);
    if (index == kNone) break;
    DomainEntry& domain = *domains.at_index(index);
    if (host.resolve == nullptr) {
      domain.state = DomainEntry::State::asked;
      ++asking;
      domain_resolved(domain.name, {.kind = Resolution::Kind::temporary,
                                    .site = {},
                                    .hosts = {},
                                    .until = Monotonic::never(),
                                    .code = 0,
                                    .status = {4, 4, 4},
                                    .text = "no route is configured for this domain"});
      continue;
    }
    domain.state = DomainEntry::State::asked;
    ++asking;
    host.resolve(host.self, domain.name);
  }
  return !draining.empty() || (!to_ask.empty() && asking < kResolvesMax);
}

// ---- sites

uint32_t Queue::Impl::make_site(const std::string& name, uint32_t route, const Route& limits) {
  SlotHandle handle;
  SiteEntry& made = *sites.take(handle);
  made.site.id = {handle.index};
  made.site.name = name;
  made.site.route = route;
  made.site.connections_max = std::max(1U, limits.connections_max);
  made.site.messages_per_connection_max = limits.messages_per_connection_max;
  made.site.lmtp = limits.lmtp;
  made.site.home = home_of(name, shards);
  made.site.local_share = local_share(made.site.connections_max, made.site.home, shard, shards);
  made.local = made.site.local_share > 0;
  made.recipients_max = std::max(1U, limits.recipients_per_message_max);
  made.timer.token = ring::Token::make(shard::kind(shard::Owner::queue), handle.index);
  if (route == kNoRoute) {
    site_table.insert(hash_text(name), handle.index);
    made.idle = true;
    made.idle_since = now();
    push_back(sites, idle_sites, handle.index);
  }
  return handle.index;
}

uint32_t Queue::Impl::find_site(std::string_view name) {
  const uint32_t index = site_table.find(hash_text(name), [&](uint32_t candidate) {
    return sites.at_index(candidate)->site.name == name;
  });
  return index;
}

void Queue::Impl::set_hosts(SiteEntry& site, const std::vector<ResolvedHost>& hosts) {
  if (same_hosts(site.site.hosts, hosts)) return;
  const bool first = site.site.hosts.empty();
  site.site.hosts = hosts;
  site.lent = nullptr;
  if (site.held && !first) {
    hold_ended(site);  // the new ones deserve a probe
  } else {
    announce(site);
  }
}

void Queue::Impl::drop_site_user(uint32_t index) {
  SiteEntry& site = *sites.at_index(index);
  RINGMTA_ASSERT(site.users > 0);
  --site.users;
  if (site.users > 0 || site.site.route != kNoRoute) return;
  site.idle_since = now();
  if (site.idle) return;
  site.idle = true;
  push_back(sites, idle_sites, index);
}

// Forgets domains and sites that have had no mail for long, a few per turn. A site that found work
// again is met here once more and taken off.
void Queue::Impl::sweep_idle() {
  for (uint32_t i = 0; i < kForgottenPerTurn && !idle_domains.empty(); ++i) {
    const uint32_t index = idle_domains.head;
    DomainEntry& domain = *domains.at_index(index);
    if (now() < domain.idle_since + kDomainIdle) break;
    take_off(domains, idle_domains, index);
    if (domain.state == DomainEntry::State::asked || domain.draining) {
      domain.idle_since = now();
      push_back(domains, idle_domains, index);
      continue;
    }
    loop.timers().cancel(domain.timer);
    reasons.drop(domain.reason);
    if (domain.site != kNone && !domain.routed) drop_site_user(domain.site);
    domain_table.erase(domain.hash, index);
    domains.release(domains.handle_at(index));
  }
  const bool forget_sites = host.site_gone != nullptr;
  for (uint32_t i = 0; forget_sites && i < kForgottenPerTurn && !idle_sites.empty(); ++i) {
    const uint32_t index = idle_sites.head;
    SiteEntry& site = *sites.at_index(index);
    if (now() < site.idle_since + kSiteIdle) break;
    take_off(sites, idle_sites, index);
    site.idle = false;
    if (site.users > 0) continue;
    const bool listed = site.lending || site.starved || site.poked;
    if (listed || !host.site_gone(host.self, site.site.id)) {
      site.idle = true;
      site.idle_since = now();
      push_back(sites, idle_sites, index);
      continue;
    }
    loop.timers().cancel(site.timer);
    reasons.drop(site.reason);
    site_table.erase(hash_text(site.site.name), index);
    sites.release(sites.handle_at(index));
  }
}

}  // namespace ringmta::queue
