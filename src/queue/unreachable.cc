// SPDX-License-Identifier: GPL-3.0-or-later
// Sites that cannot be reached. A dead site holds its whole queue: its deliveries stay where they
// are, no attempt is counted against any of them, and after the hold one job goes out as a probe.
// When it gets through, the window grows with each success, doubling per round trip (slow start,
// Jacobson 1988), so a server that has just come back is not buried.
//
// Who notices: the pool, which tells by site_failed(). Where the connections are another shard's,
// nobody here sees them fail; the jobs that come back tell.
#include <algorithm>

#include "queue_impl.h"

namespace ringmta::queue {

namespace {

constexpr uint32_t kWindowAfterProbe = 2;
constexpr uint32_t kWindowEnough = 256;  // from here on the pool's own limits are enough

// Did the attempt end before the peer was ready to take mail?
bool no_session(const JobRecipient& recipient) {
  return recipient.verdict == Verdict::deferred && recipient.phase <= smtp::Phase::tls;
}

}  // namespace

void Queue::Impl::hold(SiteEntry& site, std::string_view reason, Monotonic until) {
  const uint32_t old_reason = site.reason;
  site.reason =
      reasons.use({reason, {}, smtp::Phase::connect, 0, smtp::EnhancedStatus{4, 4, 1}}, true);
  reasons.drop(old_reason);
  site.held = true;
  ++site.failures;
  loop.timers().arm(site.timer, std::max(until, now() + Milliseconds{1}));
  unload(site);
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
  site.failures = 0;
  reasons.drop(site.reason);
  site.reason = kNone;
  if (was_held || site.window < kWindowAfterProbe) site.window = kWindowAfterProbe;
  announce(site);
}

// What a job that came back says of its site.
void Queue::Impl::note_result(SiteEntry& site, const Attempt& attempt) {
  const auto& results = attempt.recipients;
  if (std::ranges::all_of(results, no_session)) {
    const bool unseen = !site.local || site.window == 1;
    if (!unseen || site.held) return;  // the pool will say, or has said
    const int64_t wait =
        std::min(kHoldFirst.count << std::min(site.failures, 16U), kHoldLongest.count);
    return hold(site, results[0].text, now() + Milliseconds{wait});
  }
  const bool answered = std::ranges::any_of(results, [](const JobRecipient& result) {
    return result.verdict == Verdict::delivered || result.verdict == Verdict::refused ||
           (result.code != 0 && result.phase > smtp::Phase::tls);
  });
  if (!answered || (site.window == kWindowOpen && !site.held)) return;
  if (site.held || site.window == 1) recovered(site);
  site.window = site.window >= kWindowEnough ? kWindowOpen : site.window + 1;
}

}  // namespace ringmta::queue
