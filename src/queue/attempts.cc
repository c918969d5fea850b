// SPDX-License-Identifier: GPL-3.0-or-later
// A delivery becomes a job: whose turn it is, the content from disk when it is not in memory, the
// transaction made up, and lending to the shard that has the connections.
//
// Contents are read ahead for at most kLoadsPerSiteMax deliveries of a site and kLoadsMax in all,
// so a site full of evicted mail streams from disk without filling the memory again.
#include <algorithm>

#include "queue_impl.h"

namespace ringmta::queue {

namespace {

constexpr uint32_t kLooksMax = 16;       // deliveries looked at in one next_job()
constexpr uint32_t kMergeLooksMax = 64;  // siblings looked at for one job
constexpr uint32_t kLateLooksMax = 64;   // expired deliveries met in one next_job()

}  // namespace

// How many jobs could be given out.
uint32_t Queue::Impl::work(const SiteEntry& site) const {
  if (stopping || site.held || site.site.hosts.empty()) return 0;
  const uint32_t window = site.local ? site.window : std::min(site.window, kHandoffMax);
  const uint32_t room = window - std::min(window, site.active);
  return std::min(room, site.flows.deliveries + site.loading + site.loaded.count);
}

void Queue::Impl::announce(SiteEntry& site) {
  if (work(site) == 0) return;
  if (site.crowded && now() >= site.own_again_at) own_again(site);
  if (site.local) {
    if (host.site_has_work != nullptr) host.site_has_work(host.self, site.site.id);
  } else if (!site.lending) {
    site.lending = true;
    lending.push_back(site.site.id.value);
    arm_tick();
  }
}

// announce() in the next run(), for where the caller is in the middle of something.
void Queue::Impl::poke(SiteEntry& site) {
  if (site.poked) return;
  site.poked = true;
  poked.push_back(site.site.id.value);
  arm_tick();
}

Job* Queue::Impl::next_job(SiteEntry& site) {
  for (uint32_t looks = 0; looks < kLooksMax; ++looks) {
    if (work(site) == 0) return nullptr;
    const uint32_t delivery = next_delivery(site);
    if (delivery == kNone) return nullptr;
    merge_siblings(site, delivery);
    if (Job* job = make_job(site, delivery); job != nullptr) return job;
  }
  poke(site);
  return nullptr;
}

// The delivery whose turn it is, its content pinned, in place none and with no more recipients than
// one transaction may have. kNone: there is none now.
uint32_t Queue::Impl::next_delivery(SiteEntry& site) {
  uint32_t index = site.loaded.head;
  if (index != kNone) {
    const spool::StoredHandle stored =
        messages.at_index(deliveries.at_index(index)->message)->stored;
    spool.pin(stored);
    detach(index);  // unpins
  } else {
    const auto cost = [this](uint32_t delivery) {
      return cost_of(
          spool.wire_size(messages.at_index(deliveries.at_index(delivery)->message)->stored));
    };
    for (uint32_t late = 0;;) {
      index = flows.front(site.flows, cost);
      if (index == kNone) return kNone;
      const Delivery& delivery = *deliveries.at_index(index);
      const Message& message = *messages.at_index(delivery.message);
      if (expiry_of(message, delivery) <= tick_now()) {
        detach(index);
        doom(index);
        if (++late == kLateLooksMax) {
          poke(site);
          return kNone;
        }
      } else if (!spool.in_memory(message.stored)) {
        if (!begin_load(site, index)) return kNone;
      } else {
        spool.pin(message.stored);
        break;
      }
    }
    const bool stays = recipient_count(*deliveries.at_index(index)) > site.recipients_max;
    flows.serve_front(site.flows, stays);
    if (!stays) place(index, Place::none);
  }
  if (recipient_count(*deliveries.at_index(index)) <= site.recipients_max) return index;
  Recipient room;
  const auto all = recipients_of(*deliveries.at_index(index), room);
  first_part.assign(all.begin(), all.begin() + site.recipients_max);
  second_part.assign(all.begin() + site.recipients_max, all.end());
  const uint32_t taken = split(index, first_part, second_part);
  if (deliveries.at_index(index)->place == Place::none) make_ready(index, site.site.id.value, true);
  return taken;
}

bool Queue::Impl::begin_load(SiteEntry& site, uint32_t index) {
  if (site.loading + site.loaded.count >= kLoadsPerSiteMax) return false;
  if (loads >= kLoadsMax || spool.memory_exhausted()) {
    if (!site.starved && site.loading + site.loaded.count == 0) {
      site.starved = true;
      starved.push_back(site.site.id.value);
    }
    return false;
  }
  flows.serve_front(site.flows, false);
  place(index, Place::loading);
  ++loads;
  ++site.loading;
  spool.load(messages.at_index(deliveries.at_index(index)->message)->stored,
             tag_of(Purpose::attempt, index));
  return true;
}

void Queue::Impl::loaded(uint32_t index, bool readable) {
  Delivery& delivery = *deliveries.at_index(index);
  RINGMTA_ASSERT(delivery.place == Place::loading);
  SiteEntry& site = *sites.at_index(delivery.site);
  --site.loading;
  const uint32_t message = delivery.message;
  if (!readable) {
    load_slot_free();
    unreadable(message);
    place(index, Place::none);
    defer(index, read_again(message));
    free_again(index);
    return;
  }
  readable_again(message);
  if (site.held || expiry_of(*messages.at_index(message), delivery) <= tick_now()) {
    load_slot_free();
    spool.unpin(messages.at_index(message)->stored);
    place(index, Place::none);
    make_ready(index, site.site.id.value, true);
  } else {
    place(index, Place::loaded);
    push_back(deliveries, site.loaded, index);
    announce(site);
  }
  free_again(index);
}

// What was read ahead for a site that takes nothing now goes back.
void Queue::Impl::unload(SiteEntry& site) {
  while (!site.loaded.empty()) {
    const uint32_t index = site.loaded.tail;
    detach(index);
    make_ready(index, site.site.id.value, true);
  }
}

void Queue::Impl::load_slot_free() {
  RINGMTA_ASSERT(loads > 0);
  --loads;
  feed_starved();
}

// One site at a time: it may take what there is. Whether there is memory again nobody tells, it is
// looked at now and then (arm_next).
void Queue::Impl::feed_starved() {
  if (starved.empty() || loads >= kLoadsMax || spool.memory_exhausted()) return;
  SiteEntry& site = *sites.at_index(starved.front());
  starved.pop_front();
  site.starved = false;
  poke(site);
}

// Other recipients of the same message who are reached through the same site (domains that share
// their MX set) go in the same transaction.
void Queue::Impl::merge_siblings(SiteEntry& site, uint32_t index) {
  const uint32_t message_index = deliveries.at_index(index)->message;
  const Message& message = *messages.at_index(message_index);
  if (deliveries.at_index(index)->sibling_previous == kNone &&
      deliveries.at_index(index)->sibling_next == kNone)
    return;
  Delivery& delivery = *deliveries.at_index(index);
  Recipient room;
  const auto own = recipients_of(delivery, room);
  first_part.assign(own.begin(), own.end());
  const size_t before = first_part.size();
  uint32_t looks = 0;
  for (uint32_t other = message.first_delivery, next = kNone;
       other != kNone && looks < kMergeLooksMax; other = next, ++looks) {
    Delivery& sibling = *deliveries.at_index(other);
    next = sibling.sibling_next;
    if (other == index || sibling.place != Place::ready || sibling.site != delivery.site ||
        sibling.attempts != delivery.attempts ||
        sibling.delay_reported != delivery.delay_reported ||
        &schedule(sibling) != &schedule(delivery))
      continue;
    const auto theirs = recipients_of(sibling, room);
    if (first_part.size() + theirs.size() > site.recipients_max) continue;
    first_part.insert(first_part.end(), theirs.begin(), theirs.end());
    detach(other);
    free_delivery(other);
  }
  if (first_part.size() == before) return;
  std::ranges::sort(first_part, {}, &Recipient::index);
  set_recipients(delivery, first_part);
}

// Null: it has to wait after all.
Job* Queue::Impl::make_job(SiteEntry& site, uint32_t index) {
  Delivery& delivery = *deliveries.at_index(index);
  Message& message = *messages.at_index(delivery.message);
  message.reads_failed = 0;
  Attempt& attempt = take_attempt();
  fill_transaction(attempt, delivery, message.stored);
  if (success_notice_blocked(attempt)) {
    spool.unpin(message.stored);
    give_back(attempt);
    defer(index, tick_in(kBlockedRetry));
    return nullptr;
  }
  attempt.keeper = shard;
  attempt.delivery = deliveries.handle_at(index);
  attempt.site = site.site.id;
  attempt.id = spool.id(message.stored);
  attempt.attempt = static_cast<uint16_t>(std::min(delivery.attempts + 1, UINT16_MAX));
  attempt.expires = time_of(expiry_of(message, delivery));
  attempt.peer.length = 0;
  attempt.peer_name.clear();
  attempt.peer_has_dsn = false;
  attempt.possible_duplicate = false;
  attempt.begun = {};
  attempt.site_failed_until = {};
  place(index, Place::active);
  ++site.active;
  return &attempt;
}

void Queue::Impl::fill_transaction(Attempt& attempt, const Delivery& delivery,
                                   spool::StoredHandle stored) {
  attempt.all_recipients.clear();
  const auto head = spool::decode_head(spool.head(stored), attempt.all_recipients);
  RINGMTA_ASSERT(head.has_value());
  attempt.head = *head;
  Recipient room;
  const auto recipients = recipients_of(delivery, room);
  attempt.recipient_views.clear();
  attempt.recipients.resize(recipients.size());
  for (size_t i = 0; i < recipients.size(); ++i) {
    RINGMTA_ASSERT(recipients[i].index < attempt.all_recipients.size());
    attempt.recipient_views.push_back(attempt.all_recipients[recipients[i].index]);
    JobRecipient& result = attempt.recipients[i];
    result.index = recipients[i].index;
    result.verdict = Verdict::none;
    result.phase = smtp::Phase::connect;
    result.code = 0;
    result.status = {};
    result.text.clear();
  }
  attempt.content.clear();
  spool.parts(stored, true, attempt.content);
  smtp::Transaction& transaction = attempt.transaction;
  transaction.tag = reinterpret_cast<uint64_t>(static_cast<Job*>(&attempt));
  transaction.envelope = attempt.head.envelope;
  transaction.envelope.recipients = attempt.recipient_views;
  transaction.content = {spool.wire_size(stored), attempt.head.info.has_dot_stuffing,
                         attempt.head.info.has_eight_bit};
}

// A delivery that will owe its sender a DSN does not begin while there is no room for one.
bool Queue::Impl::success_notice_blocked(const Attempt& attempt) {
  if (notice_room()) return false;
  const bool null_path = attempt.head.envelope.reverse_path.empty();
  return std::ranges::any_of(attempt.recipient_views, [&](const smtp::RecipientView& recipient) {
    return dsn_wanted(recipient.notify, DsnAction::relayed, null_path);
  });
}

// Jobs for shards that have the connections.
void Queue::Impl::lend() {
  in_hand.clear();
  in_hand.swap(lending);
  for (const uint32_t index : in_hand) {
    SiteEntry& site = *sites.at_index(index);
    site.lending = false;
    while (Job* job = next_job(site)) {
      if (site.lent == nullptr) site.lent = std::make_shared<const Site>(site.site);
      job->lent_site = site.lent;
      static_cast<Attempt*>(job)->lent_to = site.lend_to;
      host.lend(host.self, site.lend_to, job);
    }
  }
}

Attempt& Queue::Impl::take_attempt() {
  if (free_attempts.empty()) {
    attempts.push_back(std::make_unique<Attempt>());
    free_attempts.push_back(attempts.back().get());
  }
  Attempt& attempt = *free_attempts.back();
  free_attempts.pop_back();
  return attempt;
}

void Queue::Impl::give_back(Attempt& attempt) {
  RINGMTA_ASSERT(!attempt.link.linked());
  attempt.lent_site = nullptr;
  free_attempts.push_back(&attempt);
}

}  // namespace ringmta::queue
