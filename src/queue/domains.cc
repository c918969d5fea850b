// SPDX-License-Identifier: GPL-3.0-or-later
// Domains: interned while they have mail and a minute longer, routed by the configuration or asked
// about.
//
// A question is asked once per domain, so many at a time; what waits for the answer moves on
// in slices, for there may be a million of them. What is known of a domain in use is asked for
// again ahead of its end (refresh_from), so that no mail waits for that, and used a little beyond
// its end while the answer is awaited.
#include <algorithm>

#include "queue_impl.h"
#include "ringmta/base/bytes.h"
#include "ringmta/dns/name.h"

namespace ringmta::queue {

namespace {

constexpr uint32_t kAsksPerTurn = 256;
constexpr uint32_t kForgottenPerTurn = 64;
constexpr Milliseconds kRefreshWaitMin = seconds(1);
constexpr Milliseconds kRefreshWaitMax = minutes(5);
// For so long what was known is used while it is asked for anew (in the spirit of RFC 8767): as
// long as a question can take, twice over (MX, then addresses).
constexpr Milliseconds kStaleMax = seconds(30);

// Until a refreshment that brought nothing new is asked for again.
Milliseconds refresh_wait(Milliseconds left) {
  return std::clamp(Milliseconds{left.count / 2}, kRefreshWaitMin, kRefreshWaitMax);
}

// Until a domain that could not be found out is asked about again, so many times in a row. (No
// longer than RFC 2308 7 lets failures be believed.)
Milliseconds unknown_wait(uint32_t failures) {
  constexpr uint32_t kDoublingsMax = 9;
  const uint32_t doublings = std::min(failures - 1, kDoublingsMax);
  return std::min(Milliseconds{seconds(1).count << doublings}, minutes(5));
}

}  // namespace

uint32_t Queue::Impl::use_domain(std::string_view as_given) {
  lowered.clear();
  dns::append_domain_key(as_given, lowered);
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
    }
    made.rule = connection_rules.find(lowered);
    made.retry = schedule_of(made);
    domain_table.insert(hash, index);
  } else if (domains.at_index(index)->recipients == 0) {
    take_off(domains, idle_domains, index);
  }
  DomainEntry& domain = *domains.at_index(index);
  if (domain.recipients++ == 0 && domain.state == DomainEntry::State::unasked)
    line_up(domain, index);
  return index;
}

void Queue::Impl::drop_domain(uint32_t index, uint32_t recipients) {
  DomainEntry& domain = *domains.at_index(index);
  RINGMTA_ASSERT(domain.recipients >= recipients);
  domain.recipients -= recipients;
  if (domain.recipients > 0) return;
  if (domain.state == DomainEntry::State::unasked) leave_line(domain, index);
  if (domain.refresh == DomainEntry::Refresh::wanted) no_refresh(domain, index);
  domain.idle_since = now();
  push_back(domains, idle_domains, index);
}

const RetryOptions& Queue::Impl::schedule(const Delivery& delivery) {
  return schedules[domains.at_index(delivery.domain)->retry];
}

// The most exact says: the domain, the route or site, what is for all.
uint32_t Queue::Impl::schedule_of(const DomainEntry& domain) {
  if (const uint32_t rule = retry_rules.find(domain.name); rule != kNone) return rule;
  if (domain.routed) return route_schedules[domain.site];
  if (domain.site == kNone) return 0;
  const std::vector<ResolvedHost>& hosts = sites.at_index(domain.site)->site.hosts;
  const uint32_t rule = hosts.empty() ? kNone : site_retry_rules.find(hosts.front().name);
  return rule != kNone ? rule : 0;
}

uint32_t Queue::Impl::connection_rule_of(const DomainEntry& domain,
                                         std::span<const ResolvedHost> hosts) const {
  if (domain.rule != kNone) return domain.rule;
  for (const ResolvedHost& one : hosts) {  // by preference
    if (const uint32_t rule = site_connection_rules.find(one.name); rule != kNone) return rule;
  }
  return kNone;
}

uint32_t Queue::Impl::current_site(uint32_t index) {
  DomainEntry& domain = *domains.at_index(index);
  if (domain.routed) return domain.site;
  const bool known = domain.state == DomainEntry::State::known;
  const bool ended = (known && domain.until <= now() + Milliseconds{-kStaleMax.count}) ||
                     (domain.state == DomainEntry::State::refused && domain.until <= now());
  if (ended) ask_about(index);
  const bool stays = domain.state == DomainEntry::State::known;
  if (stays && std::min(domain.refresh_from, domain.until) <= now() &&
      domain.refresh == DomainEntry::Refresh::none) {
    domain.refresh = DomainEntry::Refresh::wanted;
    push_back(domains, to_refresh, index);
  }
  return domain.state == DomainEntry::State::known ? domain.site : kNone;
}

// Only of a domain with mail.
void Queue::Impl::ask_about(uint32_t index) {
  DomainEntry& domain = *domains.at_index(index);
  if (domain.state == DomainEntry::State::unasked || domain.state == DomainEntry::State::asked)
    return;
  loop.timers().cancel(domain.timer);
  if (domain.refresh == DomainEntry::Refresh::asked) {  // it is under way already
    domain.refresh = DomainEntry::Refresh::none;
    domain.state = DomainEntry::State::asked;
    return;
  }
  no_refresh(domain, index);
  domain.state = DomainEntry::State::unasked;
  line_up(domain, index);
}

// Who could not be found out the last time stands in a line of their own, so that any number of
// dead domains never keeps a living one waiting.
void Queue::Impl::line_up(DomainEntry& domain, uint32_t index) {
  push_back(domains, domain.failures > 0 ? to_ask_again : to_ask, index);
}

void Queue::Impl::leave_line(DomainEntry& domain, uint32_t index) {
  take_off(domains, domain.failures > 0 ? to_ask_again : to_ask, index);
}

void Queue::Impl::no_refresh(DomainEntry& domain, uint32_t index) {
  if (domain.refresh == DomainEntry::Refresh::asked) --asking;
  if (domain.refresh == DomainEntry::Refresh::wanted) take_off(domains, to_refresh, index);
  domain.refresh = DomainEntry::Refresh::none;
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
    leave_line(domain, index);
  no_refresh(domain, index);
  if (resolution.kind == Resolution::Kind::temporary && domain.state == DomainEntry::State::known &&
      now() < domain.until) {
    domain.refresh_from = now() + refresh_wait(domain.until - now());
    return;  // what is known holds until its end
  }
  loop.timers().cancel(domain.timer);
  reasons.drop(domain.reason);
  domain.reason = kNone;
  domain.until = resolution.until;
  domain.failures = resolution.kind == Resolution::Kind::temporary
                        ? static_cast<uint8_t>(std::min(domain.failures + 1, UINT8_MAX))
                        : uint8_t{0};
  uint32_t site = kNone;
  if (resolution.kind == Resolution::Kind::hosts) {
    RINGMTA_ASSERT(!resolution.hosts.empty());
    const uint32_t rule = connection_rule_of(domain, resolution.hosts);
    const std::string site_name = name_of_site(resolution.site, rule);
    site = find_site(site_name);
    if (site == kNone) site = make_site(site_name, kNoRoute, options.mx, rule);
    ++sites.at_index(site)->users;
    set_hosts(*sites.at_index(site), resolution.hosts);
    domain.state = DomainEntry::State::known;
    domain.refresh_from = resolution.refresh_from;
    if (domain.refresh_from <= now()) {  // it is what was known before; the new one is on its way
      domain.refresh_from = now() + refresh_wait(domain.until - now());
    }
  } else {
    domain.reason = reasons.use(
        {resolution.text, {}, smtp::Phase::connect, resolution.code, resolution.status}, true);
    const bool refused = resolution.kind == Resolution::Kind::permanent;
    domain.state = refused ? DomainEntry::State::refused : DomainEntry::State::waiting;
  }
  if (domain.site != kNone) drop_site_user(domain.site);
  domain.site = site;
  if (site != kNone) domain.retry = schedule_of(domain);
  if (domain.state == DomainEntry::State::waiting) {
    domain.until = std::max(domain.until, now() + unknown_wait(domain.failures));
    if (domain.until != Monotonic::never()) loop.timers().arm(domain.timer, domain.until);
    if (host.held != nullptr && !domain.unresolved.empty()) {
      Held held;
      held.domain = domain.name;
      held.waiting = domain.unresolved.count;
      tell_held(held, domain.reason, domain.until);
    }
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
    if (!options.site_retry_rules.empty()) free_again(delivery);  // it may expire sooner there
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
  uint32_t asked = 0;
  const auto ask_some = [&](IndexList& line, uint32_t most) {
    for (; asked < kAsksPerTurn && asking < most && !line.empty(); ++asked) {
      ask(pop_front(domains, line));
    }
    return !line.empty() && asking < most;
  };
  bool more = ask_some(to_ask, kResolvesMax);
  more = ask_some(to_refresh, kResolvesAgainMax) || more;
  more = ask_some(to_ask_again, kResolvesAgainMax) || more;
  return more || !draining.empty();
}

void Queue::Impl::ask(uint32_t index) {
  DomainEntry& domain = *domains.at_index(index);
  if (domain.refresh == DomainEntry::Refresh::wanted) {
    domain.refresh = DomainEntry::Refresh::asked;
  } else {
    domain.state = DomainEntry::State::asked;
  }
  ++asking;
  if (host.resolve != nullptr) {
    host.resolve(host.self, domain.name);
    return;
  }
  domain_resolved(domain.name, {.kind = Resolution::Kind::temporary,
                                .site = {},
                                .hosts = {},
                                .until = Monotonic::never(),
                                .code = 0,
                                .status = {4, 4, 4},
                                .text = "no route is configured for this domain"});
}

// Forgets domains that have had no mail for a while, a few per turn.
void Queue::Impl::sweep_domains() {
  for (uint32_t i = 0; i < kForgottenPerTurn && !idle_domains.empty(); ++i) {
    const uint32_t index = idle_domains.head;
    DomainEntry& domain = *domains.at_index(index);
    if (now() < domain.idle_since + kDomainIdle) break;
    take_off(domains, idle_domains, index);
    const bool asked =
        domain.state == DomainEntry::State::asked || domain.refresh == DomainEntry::Refresh::asked;
    if (asked || domain.draining) {
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
