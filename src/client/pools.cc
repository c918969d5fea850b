// SPDX-License-Identifier: GPL-3.0-or-later
// The pools of a shard as its loop sees them: events in, one stage per turn, sites coming and
// going.
//
// The insight: a turn costs what happened in it. Connections with news and sites with work stand on
// dirty lists; nothing walks over all connections or sites but the watchdog, a slice at a time.
//
// Limits: connections_max per shard; a site's local_share; a lent job goes back unbegun after
// lent_wait_max.
#include "pools_impl.h"

namespace ringmta::client {
namespace {

// A job refused at once (a message the peer cannot take) frees its connection for the next one in
// the same turn; the rest of a long row of such waits for the next turn.
constexpr int kRoundsPerTurn = 4;

}  // namespace

Pools::Impl::Impl(shard::Loop& the_loop, queue::Queue& the_queue,
                  const ClientPoolOptions& the_options, ShardId the_shard, void* the_self,
                  void (*the_return_job)(void*, queue::Job*))
    : loop(the_loop),
      queue(the_queue),
      options(the_options),
      lmtp_session(the_options.session),
      shard(the_shard),
      self(the_self),
      return_job(the_return_job),
      random(the_loop.io().random()),
      tls_memory(the_options.tls.broken_max),
      connections(the_options.connections_max),
      sites(UINT32_MAX) {
  lmtp_session.lmtp = true;
  learn_sources();
  prepare_all();
  own_credentials = std::make_unique<Credentials>();
  credentials = own_credentials.get();
  auth_timer.token = ring::Token::make(shard::kind(shard::Owner::client), kAuthNumber);
  watch_timer.token = ring::Token::make(shard::kind(shard::Owner::client), kWatchNumber);
}

Pools::Impl::~Impl() {
  loop.timers().cancel(watch_timer);
  loop.timers().cancel(auth_timer);
  connections.for_each([&](Connection& connection, SlotHandle) {
    loop.timers().cancel(connection.timer);
    loop.io().close(connection.stream, ring::CloseMode::abort);
  });
  sites.for_each([&](SitePool& site, SlotHandle) { loop.timers().cancel(site.timer); });
}

// An address that connections are bound to is the only one of its family they come from.
void Pools::Impl::learn_sources() {
  sources = options.machine_addresses;
  for (const SocketAddress& bound : {options.source4, options.source6}) {
    if (bound.length == 0 || options.machine_addresses.empty()) continue;
    std::erase_if(sources,
                  [&](const SocketAddress& one) { return one.family() == bound.family(); });
    sources.push_back(bound);
  }
  this->sites.for_each([this](SitePool& site, SlotHandle) { site.hosts.rank(sources); });
}

bool Pools::Impl::run() {
  resume_handshakes();
  hand_back();
  for (Connection* one = dirty.front(); one != nullptr; one = dirty.next(*one)) settle(*one);
  for (int round = 0; round < kRoundsPerTurn && !dirty_sites.empty(); ++round) {
    while (SitePool* site = dirty_sites.pop_front()) serve(*site);
    hand_back();
  }
  while (Connection* connection = dirty.pop_front()) flush(*connection);
  return !dirty_sites.empty() || !dirty.empty() || !done.empty() || !postponed.empty();
}

void Pools::Impl::touch(Connection& connection) {
  if (!connection.dirty.linked()) dirty.push_back(connection);
}

void Pools::Impl::touch(SitePool& site) {
  if (!site.dirty.linked()) dirty_sites.push_back(site);
}

// ---- jobs on their way back

void Pools::Impl::release(queue::Job& job) {
  for (const queue::JobRecipient& recipient : job.recipients) {
    RINGMTA_ASSERT(recipient.verdict != queue::Verdict::none);
  }
  done.push_back(job);
}

void Pools::Impl::hand_back() {
  while (queue::Job* job = done.pop_front()) {
    if (job->keeper == shard) {
      queue.job_done(job);
    } else {
      return_job(self, job);
    }
  }
}

// Lent jobs that were not begun go back.
void Pools::Impl::refuse_lent(SitePool& site, queue::Verdict verdict, std::string_view reason,
                              smtp::EnhancedStatus status) {
  site.lent_count = 0;
  while (queue::Job* job = site.lent.pop_front()) {
    if (site.failed) job->site_failed_until = site.held_until;
    judge_all(*job, verdict, reason, status);
    release(*job);
  }
}

// ---- sites

SitePool* Pools::Impl::find_site(queue::SiteId id) {
  if (id.value >= site_slots.size() || site_slots[id.value] == kNoSlot) return nullptr;
  return sites.at_index(site_slots[id.value]);
}

SitePool& Pools::Impl::site_pool(queue::SiteId id) {
  if (SitePool* known = find_site(id); known != nullptr) return *known;
  if (id.value >= site_slots.size()) site_slots.resize(id.value + 1, kNoSlot);
  SlotHandle slot;
  SitePool* made = sites.take(slot, id);
  RINGMTA_ASSERT(made != nullptr && slot.index < kSiteBit);
  made->slot = slot;
  made->timer.token = client_token({slot.index | kSiteBit, slot.generation});
  site_slots[id.value] = slot.index;
  if (!watch_timer.armed()) loop.timers().arm(watch_timer, now() + seconds(1));
  return *made;
}

// A failed host is remembered for one more wait after the one it earned, so that a queue that tries
// again at once finds the doubled one.
void Pools::Impl::arm_site(SitePool& site) {
  Monotonic due = Monotonic::never();
  if (site.held_until > now() && (site.failed || site.wants_connections())) due = site.held_until;
  if (!site.lent.empty()) due = std::min(due, site.lent_due);
  if (site.ride_until > now()) due = std::min(due, site.ride_until);
  if (due == Monotonic::never() && site.connections == 0 && !site.wants_connections()) {
    const Monotonic known = site.hosts.remembered_until();
    if (known + options.host_retry_after > now()) due = known + options.host_retry_after;
  }
  if (due == Monotonic::never()) {
    loop.timers().cancel(site.timer);
  } else if (!site.timer.armed() || site.timer.due != due) {
    loop.timers().arm(site.timer, due);
  }
}

void Pools::Impl::on_site_timer(SitePool& site) {
  if (site.failed && now() >= site.held_until && !stopping) {
    site.work = site.work || queue.has_work(site.id);
  }
  if (site.lent_due <= now()) return_late(site);
  touch(site);
}

// Lent jobs that no connection had time for go back: their keeper knows whether they have expired.
void Pools::Impl::return_late(SitePool& site) {
  site.lent_due = Monotonic::never();
  queue::Job* next = nullptr;
  for (queue::Job* job = site.lent.front(); job != nullptr; job = next) {
    next = site.lent.next(*job);
    const Monotonic due = lent_until(*job);
    if (due > now()) {
      site.lent_due = std::min(site.lent_due, due);
      continue;
    }
    job->link.unlink();
    --site.lent_count;
    judge_all(*job, queue::Verdict::retry_now, "no connection of the site was free in time");
    release(*job);
  }
}

// `begun` is when it was lent, until a connection begins it.
Monotonic Pools::Impl::lent_until(const queue::Job& job) const {
  const Monotonic patience = job.begun + options.lent_wait_max;
  return job.expires.ns == 0 ? patience : std::min(patience, job.expires);
}

void Pools::Impl::retire_site_if_quiet(SitePool& site) {
  if (site.connections > 0 || site.wants_connections() || site.dirty.linked()) return;
  if (site.timer.armed()) return;
  no_longer_waiting(site);
  site_slots[site.id.value] = kNoSlot;
  sites.release(site.slot);
}

// ---- the public face

Pools::Pools(shard::Loop& loop, queue::Queue& queue, const ClientPoolOptions& options,
             ShardId shard, void* self, void (*return_job)(void* self, queue::Job* job))
    : impl_(std::make_unique<Impl>(loop, queue, options, shard, self, return_job)) {}

Pools::~Pools() = default;

void Pools::reload(const ClientPoolOptions& options) {
  ClientPoolOptions& mine = impl_->options;
  const uint32_t connections_max = mine.connections_max;
  const bool loopback = mine.deliver_to_loopback;
  std::vector<SecurityRule> rules = std::move(mine.rules);
  mine = options;
  mine.rules = std::move(rules);
  mine.connections_max = connections_max;
  mine.deliver_to_loopback = loopback;
  impl_->lmtp_session = options.session;
  impl_->lmtp_session.lmtp = true;
  impl_->learn_sources();
  impl_->change_security();
}

void Pools::use_credentials(Credentials& credentials) {
  impl_->credentials = &credentials;
  impl_->own_credentials.reset();
}

void Pools::set_own_addresses(std::span<const SocketAddress> listening) {
  impl_->own_addresses.assign(listening.begin(), listening.end());
}

void Pools::site_has_work(queue::SiteId id) {
  if (impl_->stopping) return;
  SitePool& site = impl_->site_pool(id);
  site.work = true;
  impl_->touch(site);
}

void Pools::lent(queue::Job* job) {
  job->begun = impl_->now();
  if (impl_->stopping) {
    impl_->judge_all(*job, queue::Verdict::retry_now, "the relay is shutting down");
    impl_->release(*job);
    return;
  }
  SitePool& site = impl_->site_pool(job->site);
  site.lent.push_back(*job);
  ++site.lent_count;
  site.lent_due = std::min(site.lent_due, impl_->lent_until(*job));
  impl_->touch(site);
}

void Pools::on_event(const ring::Event& event) {
  using ring::EventKind;
  Impl& impl = *impl_;
  if (event.kind == EventKind::timer) {
    if (event.token.index() == kWatchNumber) {
      impl.watch();
      return;
    }
    if (event.token.index() == kAuthNumber) {
      impl.look_for_credentials();
      return;
    }
    if ((event.token.index() & kSiteBit) != 0) {
      const SlotHandle slot = event.token.slot();
      SitePool* site = impl.sites.find({slot.index & ~kSiteBit, slot.generation});
      if (site != nullptr) impl.on_site_timer(*site);
      return;
    }
  }
  Connection* connection = impl.connections.find(event.token.slot());
  if (connection == nullptr) return;
  switch (event.kind) {
    case EventKind::connected:
      impl.on_connected(*connection, event.result);
      return;
    case EventKind::received:
      impl.on_received(*connection, event.data);
      return;
    case EventKind::ended:
      impl.on_ended(*connection, event.result);
      return;
    case EventKind::sent:
      impl.on_sent(*connection, event.result);
      return;
    case EventKind::closed:
      impl.on_closed(*connection);
      return;
    case EventKind::timer:
      impl.on_timer(*connection);
      return;
    case EventKind::accepted:
    case EventKind::datagram:
    case EventKind::file_done:
    case EventKind::mail:
      return;
  }
}

bool Pools::knows(queue::SiteId id) const { return impl_->find_site(id) != nullptr; }

void Pools::try_hosts_again() {
  impl_->sites.for_each([this](SitePool& site, SlotHandle) {
    site.hosts.try_again();
    site.end_row();
    site.held_until = {};
    impl_->touch(site);
  });
}

bool Pools::run() { return impl_->run(); }

void Pools::stop() {
  Impl& impl = *impl_;
  impl.stopping = true;
  impl.connections.for_each([&](Connection& connection, SlotHandle) {
    switch (connection.state) {
      case Connection::State::connecting:
      case Connection::State::opening:
        impl.close(connection, ring::CloseMode::abort);
        break;
      case Connection::State::ready:
        impl.leave(connection);
        break;
      case Connection::State::leaving:
      case Connection::State::closing:
        break;
    }
  });
  impl.sites.for_each([&](SitePool& site, SlotHandle) {
    site.work = false;
    impl.no_longer_waiting(site);
    impl.refuse_lent(site, queue::Verdict::retry_now, "the relay is shutting down");
    impl.touch(site);
  });
}

void Pools::abort() {
  stop();
  impl_->connections.for_each([&](Connection& connection, SlotHandle) {
    if (connection.state == Connection::State::closing) return;
    impl_->lose(connection, "the relay was stopped before the reply came", ring::CloseMode::abort);
  });
}

bool Pools::idle() const { return impl_->connections.size() == 0 && impl_->done.empty(); }

const ClientCounters& Pools::counters() const { return impl_->counters; }

}  // namespace ringmta::client
