// SPDX-License-Identifier: GPL-3.0-or-later
// Sites: those of routes for ever, those found by MX while domains or deliveries name them and ten
// minutes longer (so that what was learned of them is not forgotten between two messages).
#include <algorithm>

#include "queue_impl.h"

namespace ringmta::queue {

namespace {

constexpr uint32_t kForgottenPerTurn = 64;

bool same_hosts(const std::vector<ResolvedHost>& a, const std::vector<ResolvedHost>& b) {
  return std::ranges::equal(a, b, [](const ResolvedHost& one, const ResolvedHost& other) {
    return one.name == other.name && one.address == other.address &&
           one.preference == other.preference;
  });
}

}  // namespace

uint32_t Queue::Impl::make_site(const std::string& name, uint32_t route, const Route& limits,
                                uint32_t rule) {
  SlotHandle handle;
  SiteEntry& made = *sites.take(handle);
  made.site.id = {handle.index};
  made.site.name = name;
  made.site.route = route;
  made.site.rule = rule;
  made.site.lmtp = limits.lmtp;
  made.site.home = home_of(name, shards);
  set_limits(made, limits);
  made.timer.token = ring::Token::make(shard::kind(shard::Owner::queue), handle.index);
  if (route == kNoRoute) {
    site_table.insert(hash_text(name), handle.index);
    made.idle = true;
    made.idle_since = now();
    push_back(sites, idle_sites, handle.index);
  }
  return handle.index;
}

std::string Queue::Impl::name_of_site(const std::string& hosts, uint32_t rule) const {
  if (rule == kNoRule) return hosts;
  return hosts + " (" + options.connection_rules[rule].label + ")";
}

void Queue::Impl::set_limits(SiteEntry& site, const Route& limits) {
  Site& of = site.site;
  of.connections_max = std::max(1U, limits.connections_max);
  of.messages_per_connection_max = limits.messages_per_connection_max;
  of.local_share = local_share(of.connections_max, of.home, shard, shards);
  own_again(site);
  site.local = of.local_share > 0;
  site.recipients_max = std::max(1U, limits.recipients_per_message_max);
  site.lent = nullptr;
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
  const bool more = std::ranges::any_of(hosts, [&](const ResolvedHost& one) {
    return std::ranges::none_of(site.site.hosts, [&](const ResolvedHost& known) {
      return known.address == one.address && known.name == one.name;
    });
  });
  site.site.hosts = hosts;
  site.lent = nullptr;
  if (site.held && !first && more) {
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

// Forgets sites that have been idle for long, a few per turn. One that found work again is met here
// once more and taken off.
void Queue::Impl::sweep_sites() {
  if (host.site_gone == nullptr) return;
  for (uint32_t i = 0; i < kForgottenPerTurn && !idle_sites.empty(); ++i) {
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
