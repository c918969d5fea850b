// SPDX-License-Identifier: GPL-3.0-or-later
// Sites that cannot be reached. A dead site holds its whole queue: its deliveries stay where they
// are, no attempt is counted against any of them, and after the hold one job goes out as a probe.
// When it gets through, the window grows with each success, doubling per round trip (slow start,
// Jacobson 1988), so a server that has just come back is not buried.
//
// Who notices: the pool, which tells by site_failed(). Where the connections are another shard's,
// the jobs that come back say it (site_failed_until).
#include <algorithm>

#include "queue_impl.h"

namespace ringmta::queue {

namespace {

constexpr uint32_t kWindowAfterProbe = 2;
constexpr uint32_t kWindowEnough = 256;  // from here on the pool's own limits are enough

constexpr uint16_t kClosing = 421;  // the server goes away (RFC 5321 4.2.1)

// It took part in a transaction, whatever it made of it; or it was ready for one, and we had none
// that it can take.
bool answered(const JobRecipient& result) {
  if (result.code == 0) return result.verdict == Verdict::refused;
  return result.code != kClosing && result.phase > smtp::Phase::tls;
}

}  // namespace

// (`reason` may be the site's old one.)
void Queue::Impl::hold(SiteEntry& site, const ReasonView& reason, Monotonic until) {
  const uint32_t old_reason = site.reason;
  site.reason = reasons.use(reason, true);
  reasons.drop(old_reason);
  site.held = true;
  loop.timers().arm(site.timer, std::max(until, now() + Milliseconds{1}));
  unload(site);
  if (host.held == nullptr) return;
  Held held;
  held.site = site.site.name;
  held.waiting = site.flows.deliveries + site.loading;
  tell_held(held, site.reason, until);
}

void Queue::Impl::tell_held(Held& held, uint32_t reason, Monotonic until) {
  const ReasonView why = reasons.view(reason);
  held.code = why.code;
  held.status = why.status;
  held.text = why.text;
  held.peer_name = why.peer;
  if (until != Monotonic::never()) held.next_attempt = wall() + (until - now());
  host.held(host.self, held);
}

// One job may go and see.
void Queue::Impl::hold_ended(SiteEntry& site) {
  site.held = false;
  site.window = 1;
  loop.timers().cancel(site.timer);
  announce(site);
}

void Queue::Impl::recovered(SiteEntry& site) {
  const bool was_held = site.held;
  loop.timers().cancel(site.timer);
  site.held = false;
  reasons.drop(site.reason);
  site.reason = kNone;
  if (was_held || site.window < kWindowAfterProbe) site.window = kWindowAfterProbe;
  announce(site);
}

// What a job that came back says of its site. (Where a hold and a success cross, the success
// counts: connections that were there before may go on when no more can be made.)
void Queue::Impl::note_result(SiteEntry& site, const Attempt& attempt) {
  if (attempt.site_failed_until > now()) {
    // Where others are asked by now, it says nothing.
    if (site.local || attempt.lent_to != site.lend_to) return;
    if (site.crowded) return pass_on(site);
    const JobRecipient& first = attempt.recipients[0];
    return hold(site, {first.text, attempt.peer_name, first.phase, first.code, first.status},
                attempt.site_failed_until);
  }
  if (!site.held && site.window == kWindowOpen) return;
  if (!std::ranges::any_of(attempt.recipients, answered)) return;
  if (site.held || site.window == 1) recovered(site);
  site.window = site.window >= kWindowEnough ? kWindowOpen : site.window + 1;
}

}  // namespace ringmta::queue
