// SPDX-License-Identifier: GPL-3.0-or-later
// Sites whose hosts take connections of fewer shards than would have some.
//
// The insight: a host that turns a shard away with words ("421 too many connections") is there, and
// mostly serves another shard of this relay, which keeps its connection as long as it has mail. Who
// was turned away would wait until that mail runs out, and meet the moment by chance. So it lends
// its jobs, as to the home of a site with few connections: to the other shards in turn until one
// delivers, and to that one for a while. Where none does, the site is held here like one that
// cannot be reached.
//
// A limit smaller than the number of shards (sites.cc) needs none of this, and must not have it:
// the others have no connections of their own to lend.
#include <algorithm>
#include <string>

#include "queue_impl.h"

namespace ringmta::queue {

namespace {

constexpr Milliseconds kOwnAgain = minutes(10);  // then our own connections are tried again

}  // namespace

// Whom to ask after `last`; kNone: all have been.
uint32_t Queue::Impl::next_lender(const SiteEntry& site, uint32_t last) const {
  const auto after = [this](uint32_t number) {
    const uint32_t next = (number + 1) % shards;
    return next == shard.value ? (next + 1) % shards : next;
  };
  const uint32_t first = site.site.home == shard ? after(shard.value) : site.site.home.value;
  if (last == kNone) return first;
  const uint32_t next = after(last);
  return next == first ? kNone : next;
}

// False: there is nobody else.
bool Queue::Impl::crowded_out(SiteEntry& site, const ReasonView& reason, Monotonic until) {
  if (shards < 2 || !site.local || site.held || site.site.connections_max < shards) return false;
  const uint32_t old_reason = site.reason;
  site.reason = reasons.use(reason, true);
  reasons.drop(old_reason);
  site.local = false;
  site.crowded = true;
  site.lend_to.value = static_cast<uint16_t>(next_lender(site, kNone));
  site.refused_until = until;
  site.own_again_at = now() + kOwnAgain;
  site.window = 1;  // one goes and sees
  announce(site);
  return true;
}

// The shard that has it cannot deliver either.
void Queue::Impl::pass_on(SiteEntry& site) {
  const uint32_t next = next_lender(site, site.lend_to.value);
  site.window = 1;
  if (next != kNone) {
    site.lend_to.value = static_cast<uint16_t>(next);
    return announce(site);
  }
  own_again(site);
  hold(site, reasons.view(site.reason), site.refused_until);
}

void Queue::Impl::own_again(SiteEntry& site) {
  site.local = true;
  site.crowded = false;
  site.lend_to = site.site.home;
}

}  // namespace ringmta::queue
