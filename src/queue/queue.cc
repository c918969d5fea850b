// SPDX-License-Identifier: GPL-3.0-or-later
// The stage that drives the queue, and its public face.
//
// Everything that may be much (due retries, expiries, domains that became known) is done in slices
// of kWorkPerTurn, so a million retries due at once delay nobody's reply; the loop does not sleep
// while a slice is left.
#include "ringmta/queue/queue.h"

#include <algorithm>

#include "queue_impl.h"

namespace ringmta::queue {

Queue::Impl::Impl(shard::Loop& the_loop, spool::Spool& the_spool, const QueueOptions& the_options,
                  ShardId the_shard, uint32_t the_shards, QueueHost the_host)
    : loop(the_loop),
      spool(the_spool),
      options(the_options),
      shard(the_shard),
      shards(the_shards),
      host(the_host),
      begun(the_loop.now()),
      prng(the_loop.io().random()) {
  const uint8_t owner = shard::kind(shard::Owner::queue);
  tick_timer.token = ring::Token::make(owner, kTickTimer);
  notice_timer.token = ring::Token::make(owner, kNoticeTimer);
  read_options();
  for (uint32_t i = 0; i < options.routes.size(); ++i) {
    RINGMTA_ASSERT(make_site(options.routes[i].name, i, options.routes[i]) == i);
  }
  for (uint32_t i = 0; i < options.connection_rules.size(); ++i) {
    for (const std::string& pattern : options.connection_rules[i].domains) {
      connection_rules.add(pattern, i);
    }
    for (const std::string& pattern : options.connection_rules[i].hosts) {
      site_connection_rules.add(pattern, i);
    }
  }
}

Queue::Impl::~Impl() {
  loop.timers().cancel(tick_timer);
  loop.timers().cancel(notice_timer);
  sites.for_each([this](SiteEntry& site, SlotHandle) { loop.timers().cancel(site.timer); });
  domains.for_each([this](DomainEntry& domain, SlotHandle) { loop.timers().cancel(domain.timer); });
}

uint32_t Queue::Impl::tick_now() const {
  return static_cast<uint32_t>((now() - begun).count / kTickMs);
}

uint32_t Queue::Impl::tick_at(Monotonic time) const {
  const int64_t ticks = ((time - begun).count + kTickMs - 1) / kTickMs;
  return static_cast<uint32_t>(std::clamp<int64_t>(ticks, 0, UINT32_MAX - 1));
}

Monotonic Queue::Impl::time_of(uint32_t tick) const {
  return begun + Milliseconds{static_cast<int64_t>(tick) * kTickMs};
}

WallTime Queue::Impl::wall_of(uint32_t tick) const { return wall() + (time_of(tick) - now()); }

bool Queue::Impl::run() {
  bool more = false;
  if (!waiting_notices.empty() && !notice_timer.armed()) store_waiting();
  if (!stopping) {
    uint32_t work = kWorkPerTurn;
    for (uint32_t index; (index = retries.pop_due(tick_now(), work)) != kNone;) {
      place(index, Place::none);
      dispatch(index);
    }
    more = work == 0;
    work = kWorkPerTurn;
    for (uint32_t index; (index = clocks.pop_due(tick_now(), work)) != kNone;) {
      messages.at_index(index)->timing = Timing::none;
      make_chore(index);
    }
    more = more || work == 0;
    feed_starved();
    more = run_chores() || more;
    more = run_domains() || more;
    more = move_deliveries() || more;
    lend();
    sweep_domains();
    sweep_sites();
    in_hand.clear();
    in_hand.swap(poked);
    for (const uint32_t index : in_hand) {
      SiteEntry& site = *sites.at_index(index);
      site.poked = false;
      announce(site);
    }
    more = more || !poked.empty() || !lending.empty();
  }
  if (!operator_loads.empty()) drop_old_operator_loads();
  arm_next();
  return more;
}

// The loop comes back when the wheels have something, or for what is swept now and then.
void Queue::Impl::arm_next() {
  Monotonic next = Monotonic::never();
  if (!stopping) {
    if (retries.size() > 0) next = std::min(next, time_of(retries.next_due()));
    if (clocks.size() > 0) next = std::min(next, time_of(clocks.next_due()));
    if (!idle_domains.empty())
      next = std::min(next, domains.at_index(idle_domains.head)->idle_since + kDomainIdle);
    if (host.site_gone != nullptr && !idle_sites.empty())
      next = std::min(next, sites.at_index(idle_sites.head)->idle_since + kSiteIdle);
  }
  if (!operator_loads.empty()) next = std::min(next, now() + kOperatorLoad);
  if (!starved.empty()) next = std::min(next, now() + kStarvedLook);
  if (next == Monotonic::never()) {
    loop.timers().cancel(tick_timer);
  } else if (!tick_timer.armed() || tick_timer.due != next) {
    loop.timers().arm(tick_timer, next);
  }
}

// Something was left for the next run(): let the loop come round.
void Queue::Impl::arm_tick() {
  if (!tick_timer.armed() || tick_timer.due > now()) loop.timers().arm(tick_timer, now());
}

void Queue::Impl::on_timer(const ring::Event& event) {
  const uint32_t number = event.token.index();
  if (number == kTickTimer) return;  // run() follows in the same turn
  if (number == kNoticeTimer) {
    store_waiting();
  } else if ((number & kDomainTimers) != 0) {
    const uint32_t index = number & ~kDomainTimers;
    DomainEntry& domain = *domains.at_index(index);
    if (domain.recipients > 0) {
      ask_about(index);
    } else {
      domain.state = DomainEntry::State::unasked;
    }
  } else {
    hold_ended(*sites.at_index(number));
  }
}

void Queue::Impl::on_spool_done(const spool::Done& done) {
  const auto index = static_cast<uint32_t>(done.tag);
  const bool good =
      done.what == spool::Done::What::committed || done.what == spool::Done::What::loaded;
  switch (static_cast<Purpose>((done.tag & ~kQueueTag) >> 32)) {
    case Purpose::attempt:
      return loaded(index, good);
    case Purpose::chore:
      return chore_loaded(index, good);
    case Purpose::listing:
      return operator_loaded(index, good);
    case Purpose::notice:
      return notice_done(index, done.message, good);
  }
  RINGMTA_ASSERT(false);
}

void Queue::Impl::stop() { stopping = true; }

// ---- the public face

Queue::Queue(shard::Loop& loop, spool::Spool& spool, const QueueOptions& options, ShardId shard,
             uint32_t shards, QueueHost host)
    : impl_(std::make_unique<Impl>(loop, spool, options, shard, shards, host)) {}
Queue::~Queue() = default;

void Queue::add(spool::StoredHandle stored, const spool::MessageHead& head,
                std::span<const spool::RecipientState> states) {
  impl_->add(stored, head, states);
}

Job* Queue::next_job(SiteId site) {
  SiteEntry& entry = *impl_->sites.at_index(site.value);
  return entry.local ? impl_->next_job(entry) : nullptr;
}

uint32_t Queue::work(SiteId site) const {
  const SiteEntry& entry = *impl_->sites.at_index(site.value);
  return entry.local ? impl_->work(entry) : 0;
}

void Queue::job_done(Job* job) { impl_->job_done(job); }

void Queue::site_failed(SiteId site, std::string_view reason, Monotonic until,
                        smtp::EnhancedStatus status, bool crowded) {
  site_failed(site, {.text = reason, .status = status}, until, crowded);
}

void Queue::site_failed(SiteId site, const SiteTrouble& trouble, Monotonic until, bool crowded) {
  SiteEntry& entry = *impl_->sites.at_index(site.value);
  const ReasonView reason{trouble.text, trouble.host, trouble.phase, trouble.code, trouble.status};
  if (crowded && impl_->crowded_out(entry, reason, until)) return;
  impl_->hold(entry, reason, until);
}

void Queue::site_recovered(SiteId site) {
  SiteEntry& entry = *impl_->sites.at_index(site.value);
  if (entry.crowded) Impl::own_again(entry);
  if (entry.held || entry.window == 1) impl_->recovered(entry);
}

const Site& Queue::site(SiteId id) const { return impl_->sites.at_index(id.value)->site; }
size_t Queue::sites() const { return impl_->sites.size(); }

void Queue::borrow(Job* job) {
  RINGMTA_ASSERT(job->lent_site != nullptr);
  const Site& theirs = *job->lent_site;
  if (theirs.route != kNoRoute) {
    job->site = theirs.id;  // the same everywhere
    return;
  }
  uint32_t index = impl_->find_site(theirs.name);
  if (index == kNone)
    index = impl_->make_site(theirs.name, kNoRoute, impl_->options.mx, theirs.rule);
  SiteEntry& site = *impl_->sites.at_index(index);
  impl_->set_hosts(site, theirs.hosts);
  site.idle_since = impl_->now();
  job->site = site.site.id;
}

void Queue::domain_resolved(std::string_view domain, const Resolution& resolution) {
  impl_->domain_resolved(domain, resolution);
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): the caller has no further use for it
void Queue::set_route_addresses(uint32_t route, std::vector<ResolvedHost> hosts) {
  impl_->set_hosts(*impl_->sites.at_index(route), hosts);
}

void Queue::reload(const QueueOptions& options) { impl_->reload(options); }

void Queue::on_spool_done(const spool::Done& done) { impl_->on_spool_done(done); }
void Queue::on_timer(const ring::Event& event) { impl_->on_timer(event); }
bool Queue::run() { return impl_->run(); }
void Queue::stop() { impl_->stop(); }

Queue::Listing Queue::list(const Filter& filter, uint64_t cursor, size_t entries_max) {
  return impl_->list(filter, cursor, entries_max);
}
Queue::Change Queue::retry(const Filter& filter, uint64_t cursor) {
  return impl_->retry(filter, cursor);
}
Queue::Change Queue::remove(const Filter& filter, uint64_t cursor) {
  return impl_->remove(filter, cursor);
}

bool Queue::full() const { return impl_->counters.recipients >= impl_->options.recipients_max; }

const QueueCounters& Queue::counters() const {
  const Impl& impl = *impl_;
  impl.counters.full = full();
  impl.counters.memory_octets =
      impl.messages.memory_bytes() + impl.deliveries.memory_bytes() + impl.lists.memory_bytes() +
      impl.list_octets + impl.reasons.memory_octets() + impl.tenants.memory_octets() +
      impl.domains.memory_bytes() + impl.domain_table.memory_octets() + impl.sites.memory_bytes() +
      impl.site_table.memory_octets() + impl.flows.memory_octets() + impl.notices.memory_bytes() +
      impl.attempts.size() * sizeof(Attempt);
  return impl.counters;
}

}  // namespace ringmta::queue
