// SPDX-License-Identifier: GPL-3.0-or-later
// Domains: interned while they have mail and a minute longer, routed by the configuration or asked
// about.
//
// A question is asked once per domain, kResolvesMax at a time; what waits for the answer moves on
// in slices, for there may be a million of them.
#include <algorithm>

#include "queue_impl.h"
#include "ringmta/base/bytes.h"

namespace ringmta::queue {

namespace {

constexpr uint32_t kAsksPerTurn = 256;
constexpr uint32_t kForgottenPerTurn = 64;

}  // namespace

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
    made.rule = connection_rules.find(lowered);
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
    const std::string site_name = name_of_site(resolution.site, domain.rule);
    site = find_site(site_name);
    if (site == kNone) site = make_site(site_name, kNoRoute, options.mx, domain.rule);
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

// Forgets domains that have had no mail for a while, a few per turn.
void Queue::Impl::sweep_domains() {
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
}

}  // namespace ringmta::queue
