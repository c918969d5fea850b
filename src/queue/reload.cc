// SPDX-License-Identifier: GPL-3.0-or-later
// Other options while mail is queued.
//
// Domains are routed anew at once, there are as many as have mail; deliveries that stand in line at
// a site that does not serve them any more are moved in slices, for there may be millions. What is
// deferred is looked at when it is due, as always.
#include <algorithm>

#include "queue_impl.h"

namespace ringmta::queue {

void Queue::Impl::read_options() {
  schedules.assign(1, options.retry);
  route_schedules.clear();
  routes = {};
  retry_rules = {};
  site_retry_rules = {};
  for (uint32_t i = 0; i < options.routes.size(); ++i) {
    const Route& route = options.routes[i];
    for (const std::string& pattern : route.domains) routes.add(pattern, i);
    route_schedules.push_back(0);
    if (!route.retry) continue;
    route_schedules.back() = static_cast<uint32_t>(schedules.size());
    schedules.push_back(*route.retry);
  }
  for (const RetryRule& rule : options.retry_rules) {
    for (const std::string& pattern : rule.domains)
      retry_rules.add(pattern, static_cast<uint32_t>(schedules.size()));
    schedules.push_back(rule.retry);
  }
  for (const SiteRetryRule& rule : options.site_retry_rules) {
    for (const std::string& pattern : rule.hosts)
      site_retry_rules.add(pattern, static_cast<uint32_t>(schedules.size()));
    schedules.push_back(rule.retry);
  }
}

void Queue::Impl::reload(const QueueOptions& fresh) {
  RINGMTA_ASSERT(fresh.routes.size() == options.routes.size());
  std::vector<ConnectionRule> rules = std::move(options.connection_rules);
  options = fresh;
  options.connection_rules = std::move(rules);  // sites stand for them: not before the next start
  read_options();
  sites.for_each([this](SiteEntry& site, SlotHandle) {
    const uint32_t route = site.site.route;
    set_limits(site, route == kNoRoute ? options.mx : options.routes[route]);
  });
  domains.for_each([this](DomainEntry&, SlotHandle handle) { route_anew(handle.index); });
  sites.for_each([this](SiteEntry& site, SlotHandle) { announce(site); });
  moved_to = 0;
  arm_tick();
}

void Queue::Impl::route_anew(uint32_t index) {
  using State = DomainEntry::State;
  DomainEntry& domain = *domains.at_index(index);
  const uint32_t route = routes.find(domain.name);
  domain.retry = schedule_of(domain);
  if (route != kNone ? domain.routed && domain.site == route : !domain.routed) return;
  if (domain.state == State::asked) --asking;
  if (domain.state == State::unasked && domain.recipients > 0) leave_line(domain, index);
  no_refresh(domain, index);
  loop.timers().cancel(domain.timer);
  reasons.drop(domain.reason);
  domain.reason = kNone;
  if (domain.site != kNone && !domain.routed) drop_site_user(domain.site);
  domain.routed = route != kNone;
  domain.site = route;
  domain.until = domain.refresh_from = Monotonic::never();
  domain.state = domain.routed ? State::known : State::unasked;
  domain.retry = schedule_of(domain);
  if (domain.routed) {
    drain(index);
  } else if (domain.recipients > 0) {
    line_up(domain, index);
  }
}

// True: there is more to do at once.
bool Queue::Impl::move_deliveries() {
  if (moved_to == kNone) return false;
  const uint32_t from = moved_to;
  deliveries.for_each_from(from, kWorkPerTurn, [this](Delivery& delivery, SlotHandle handle) {
    if (delivery.place != Place::ready && delivery.place != Place::loaded) return;
    Recipient room;
    const bool elsewhere =
        std::ranges::any_of(recipients_of(delivery, room), [&](const Recipient& recipient) {
          return current_site(recipient.domain) != delivery.site;
        });
    if (!elsewhere) return;
    detach(handle.index);
    dispatch(handle.index);
  });
  moved_to = from + kWorkPerTurn < deliveries.slots() ? from + kWorkPerTurn : kNone;
  return moved_to != kNone;
}

}  // namespace ringmta::queue
