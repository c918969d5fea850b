// SPDX-License-Identifier: GPL-3.0-or-later
// The watchdog: tells of every connection that makes no progress though its timeout has not come
// yet, and of what should never be: a connection whose timeout did not end it, a site with work
// that nobody attends to. It looks at everything in slices by a timer of its own, so it does not
// depend on what it watches.
//
// Limits: a connection is reported once until it makes progress; at most one log line in
// kWarnEvery, which counts the ones left out.
#include <algorithm>

#include "pools_impl.h"

namespace ringmta::client {
namespace {

constexpr Milliseconds kEvery = seconds(1);
constexpr uint32_t kRounds = 30;     // slices for a look at everything ...
constexpr uint32_t kSliceMin = 256;  // ... or fewer
constexpr Milliseconds kWarnEvery = seconds(10);
constexpr Milliseconds kOverdue = seconds(30);  // after a deadline: its timer was lost

uint32_t slice_of(uint32_t slots) { return std::max(kSliceMin, slots / kRounds + 1); }

}  // namespace

void Pools::Impl::warn(std::string_view what) {
  if (warned_at.ns != 0 && now() < warned_at + kWarnEvery) {
    ++unsaid;
    return;
  }
  if (unsaid > 0) {
    log(LogLevel::warning, "delivery: {} ({} more such lines were left out)", what, unsaid);
  } else {
    log(LogLevel::warning, "delivery: {}", what);
  }
  warned_at = now();
  unsaid = 0;
}

void Pools::Impl::watch() {
  const uint32_t some = slice_of(connections.slots());
  connections.for_each_from(watched_connections, some,
                            [&](Connection& connection, SlotHandle) { watch(connection); });
  watched_connections += some;
  if (watched_connections >= connections.slots()) watched_connections = 0;

  const uint32_t some_sites = slice_of(sites.slots());
  sites.for_each_from(watched_sites, some_sites, [&](SitePool& site, SlotHandle) { watch(site); });
  watched_sites += some_sites;
  if (watched_sites >= sites.slots()) watched_sites = 0;
  if (sites.size() > 0) loop.timers().arm(watch_timer, now() + kEvery);
}

void Pools::Impl::watch(Connection& connection) {
  if (connection.state == Connection::State::closing) return;
  if (connection.idle_link.linked() && now() < connection.deadline + kOverdue) return;
  if (now() >= connection.deadline + kOverdue) {
    ++counters.stalled;
    warn(connection.host->text() + ": a timeout did not strike; the connection is given up");
    timed_out(connection);
    return;
  }
  if (connection.reported || now() < connection.since + options.stalled_after) return;
  connection.reported = true;
  ++counters.stalled;
  uint32_t jobs = 0;
  for (const queue::Job* job = connection.jobs.front(); job != nullptr;
       job = connection.jobs.next(*const_cast<queue::Job*>(job))) {
    ++jobs;
  }
  const std::string_view what =
      connection.sending ? "taking what is sent" : to_text(awaited(connection));
  warn(fmt::format("{}: no progress for {} s ({}, {} messages wait for it)",
                   connection.host->text(), (now() - connection.since).count / 1000, what, jobs));
}

// Work without a connection, a timer, or a place in the line is a bug of ours; mail must not wait
// for its repair.
void Pools::Impl::watch(SitePool& site) {
  if (stopping || site.connections > 0 || site.dirty.linked() || site.timer.armed()) return;
  if (site.waiting.linked() && connections.size() >= connections.capacity()) return;
  if (!site.wants_connections() && !queue.has_work(site.id)) return;
  ++counters.stalled;
  warn(fmt::format("{}: work was waiting and nobody attended to it", queue.site(site.id).name));
  site.work = true;
  touch(site);
}

}  // namespace ringmta::client
