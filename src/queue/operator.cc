// SPDX-License-Identifier: GPL-3.0-or-later
// The operator's list, retry and remove: walks over the slots of deliveries in bounded slices.
//
// What is asked by domain, site or id is answered from memory; who sent it and to whom stands in
// the message's head. Where that is on disk, the slice stops there and asks for it ("waiting"), and
// for those after it, so that a walk through evicted mail keeps the disk busy.
//
// A cursor is a slot and a recipient within it; what comes or goes between two slices is seen or
// not, but nothing that stays is missed or shown twice.
#include <algorithm>

#include "queue_impl.h"
#include "ringmta/dns/name.h"

namespace ringmta::queue {

namespace {

constexpr uint32_t kLooksPerSlice = 4096;
constexpr size_t kOperatorLoadsMax = 16;
constexpr uint64_t kRecipientBits = 24;

uint64_t cursor_of(uint32_t slot, size_t recipient) {
  return (static_cast<uint64_t>(slot) << kRecipientBits | recipient) + 1;
}

}  // namespace

// One delivery against the part of a filter that needs no head.
struct Queue::Impl::Match {
  Match(Impl& impl, const Filter& the_filter) : filter(the_filter) {
    if (filter.domain.empty()) return;
    const std::string key = dns::domain_key(filter.domain);
    domain = impl.domain_table.find(
        hash_text(key), [&](uint32_t index) { return impl.domains.at_index(index)->name == key; });
    nothing = domain == kNone;
  }
  bool delivery(Impl& impl, const Delivery& delivery) const {
    if (delivery.removed) return false;  // it only waits for its event to be written
    if (!filter.site.empty()) {
      const uint32_t site = impl.site_of(delivery);
      if (site == kNone || impl.sites.at_index(site)->site.name != filter.site) return false;
    }
    if (filter.id && impl.spool.id(impl.messages.at_index(delivery.message)->stored) != filter.id)
      return false;
    if (domain == kNone) return true;
    Recipient room;
    return std::ranges::any_of(impl.recipients_of(delivery, room),
                               [&](const Recipient& one) { return recipient(one); });
  }
  bool recipient(const Recipient& one) const { return domain == kNone || one.domain == domain; }

  const Filter& filter;
  uint32_t domain = kNone;
  bool nothing = false;  // no mail for that domain
};

// ---- heads from disk

// Where the message's head is; one on disk is asked for.
Queue::Impl::Head Queue::Impl::head_of(uint32_t index) {
  Message& message = *messages.at_index(index);
  if (spool.in_memory(message.stored)) return Head::here;
  for (const OperatorLoad& load : operator_loads) {
    if (load.message != index) continue;
    if (load.failed) return Head::unreadable;
    return load.here ? Head::here : Head::asked_for;
  }
  if (operator_loads.size() >= kOperatorLoadsMax) return Head::asked_for;
  operator_loads.push_back({.message = index, .since = now()});
  ++message.holds;  // it must not end while this is under way
  spool.load(message.stored, tag_of(Purpose::listing, index));
  arm_tick();
  return Head::asked_for;
}

void Queue::Impl::operator_loaded(uint32_t index, bool readable) {
  for (size_t i = 0; i < operator_loads.size(); ++i) {
    OperatorLoad& load = operator_loads[i];
    if (load.message != index || load.here || load.failed) continue;
    load.here = readable;
    load.failed = !readable;
    load.since = now();
    if (!readable) unreadable(index);
    if (load.seen) drop_operator_load(i);
    return;
  }
}

void Queue::Impl::drop_operator_load(size_t which) {
  const OperatorLoad load = operator_loads[which];
  operator_loads.erase(operator_loads.begin() + static_cast<ptrdiff_t>(which));
  Message& message = *messages.at_index(load.message);
  if (load.here) spool.unpin(message.stored);
  --message.holds;
  end_if_done(load.message);
}

// Its head was looked at: what was loaded for that may go.
void Queue::Impl::head_seen(uint32_t message) {
  for (size_t i = operator_loads.size(); i-- > 0;) {
    if (operator_loads[i].message != message) continue;
    operator_loads[i].seen = true;
    if (operator_loads[i].here || operator_loads[i].failed) drop_operator_load(i);
  }
}

// Of walks that were given up.
void Queue::Impl::drop_old_operator_loads() {
  for (size_t i = operator_loads.size(); i-- > 0;) {
    const OperatorLoad& load = operator_loads[i];
    if ((load.here || load.failed) && now() >= load.since + kOperatorLoad) drop_operator_load(i);
  }
}

// Calls visit(index, head or null) for deliveries from the cursor on that match, until it answers
// false (then the cursor stays on that one), the slice is used up, or a head is not here. Of what
// cannot be read the head is null, and nobody knows whether it is of the filter's sender.
template <typename Visit>
Queue::Impl::Walk Queue::Impl::walk(const Filter& filter, uint64_t cursor, bool heads,
                                    Visit&& visit) {
  Walk result;
  const Match match(*this, filter);
  if (match.nothing) return result;
  uint64_t from = cursor == 0 ? 0 : cursor - 1;
  auto slot = static_cast<uint32_t>(from >> kRecipientBits);
  size_t first = from & ((1ULL << kRecipientBits) - 1);
  const uint32_t end = deliveries.slots();
  bool stopped = false, missed = false;
  uint32_t looks = 0;
  deliveries.for_each_from(slot, kLooksPerSlice, [&](Delivery& delivery, SlotHandle handle) {
    if (stopped) return;
    if (!match.delivery(*this, delivery)) return;
    const bool needs_head = heads || !filter.sender.empty();
    const Head where = needs_head ? head_of(delivery.message) : Head::here;
    if (where == Head::asked_for) {
      // Go on asking for those behind, but stay here.
      if (!missed) result.cursor = cursor_of(handle.index, handle.index == slot ? first : 0);
      missed = true;
      stopped = operator_loads.size() >= kOperatorLoadsMax || ++looks > kOperatorLoadsMax;
      return;
    }
    if (missed) return;
    if (where == Head::unreadable && !filter.sender.empty()) {
      head_seen(delivery.message);
      return;
    }
    std::optional<spool::MessageHead> head;
    if (needs_head && where == Head::here) {
      views.clear();
      head = spool::decode_head(spool.head(messages.at_index(delivery.message)->stored), views);
      RINGMTA_ASSERT(head.has_value());
      if (!filter.sender.empty() && head->envelope.reverse_path != filter.sender) {
        head_seen(delivery.message);
        return;
      }
    }
    const size_t begin = handle.index == slot ? first : 0;
    const size_t done = visit(handle.index, head ? &*head : nullptr, match, begin);
    if (done == SIZE_MAX) {
      if (needs_head) head_seen(delivery.message);
    } else {
      stopped = true;
      result.cursor = cursor_of(handle.index, done);
    }
  });
  result.waiting = missed;
  if (!missed && !stopped && slot + kLooksPerSlice < end)
    result.cursor = cursor_of(slot + kLooksPerSlice, 0);
  return result;
}

Queue::Listing Queue::Impl::list(const Filter& filter, uint64_t cursor, size_t entries_max) {
  Listing listing;
  const auto visit = [&](uint32_t index, const spool::MessageHead* head, const Match& match,
                         size_t begin) {
    const Delivery& delivery = *deliveries.at_index(index);
    Recipient room;
    const auto recipients = recipients_of(delivery, room);
    for (size_t i = begin; i < recipients.size(); ++i) {
      if (!match.recipient(recipients[i])) continue;
      if (listing.entries.size() >= entries_max) return i;
      listing.entries.push_back(entry_of(delivery, recipients[i], head));
    }
    return SIZE_MAX;
  };
  const Walk walked = walk(filter, cursor, true, visit);
  listing.cursor = walked.cursor;
  listing.waiting = walked.waiting && listing.entries.empty();
  return listing;
}

Queue::Listing::Entry Queue::Impl::entry_of(const Delivery& delivery, const Recipient& recipient,
                                            const spool::MessageHead* head) {
  const spool::StoredHandle stored = messages.at_index(delivery.message)->stored;
  Listing::Entry entry;
  entry.id = spool.id(stored);
  entry.recipient = recipient.index;
  if (head != nullptr) {
    entry.sender = head->envelope.reverse_path;
    entry.address = head->envelope.recipients[recipient.index].address;
    entry.arrival = head->info.arrival;
  } else {
    entry.sender = entry.address = "(cannot be read)";
  }
  if (const uint32_t site = site_of(delivery); site != kNone)
    entry.site = sites.at_index(site)->site.name;
  entry.last_reply = reply_line(why(delivery));
  entry.next_attempt = next_attempt_of(delivery);
  entry.attempts = delivery.attempts;
  entry.size = spool.wire_size(stored);
  entry.state = state_of(delivery);
  return entry;
}

// Of what waits behind a site or domain that is held: the end of that.
Queue::Listing::State Queue::Impl::state_of(const Delivery& delivery) {
  using State = Listing::State;
  switch (delivery.place) {
    case Place::active:
      return State::active;
    case Place::deferred:
      return State::deferred;
    case Place::unresolved:
      return State::unresolved;
    default:
      return delivery.site != kNone && sites.at_index(delivery.site)->held ? State::held
                                                                           : State::ready;
  }
}

WallTime Queue::Impl::next_attempt_of(const Delivery& delivery) {
  if (delivery.place == Place::deferred) return wall_of(delivery.due);
  if (delivery.place == Place::unresolved) {
    const ring::Timer& timer = domains.at_index(delivery.domain)->timer;
    return timer.armed() ? wall() + (timer.due - now()) : WallTime{};
  }
  if (delivery.site == kNone) return {};
  const SiteEntry& site = *sites.at_index(delivery.site);
  return site.held ? wall() + (site.timer.due - now()) : wall();
}

Queue::Change Queue::Impl::retry(const Filter& filter, uint64_t cursor) {
  Change change;
  const auto visit = [&](uint32_t index, const spool::MessageHead*, const Match&, size_t) {
    Delivery& delivery = *deliveries.at_index(index);
    if (busy(delivery.place) || delivery.place == Place::doomed) return SIZE_MAX;
    change.recipients += recipient_count(delivery);
    if (delivery.place == Place::deferred) {
      detach(index);
      dispatch(index);
    }
    if (delivery.place == Place::unresolved) {
      if (domains.at_index(delivery.domain)->state == DomainEntry::State::waiting)
        ask_about(delivery.domain);
      arm_tick();
    } else if (delivery.site != kNone && sites.at_index(delivery.site)->held) {
      hold_ended(*sites.at_index(delivery.site));
    }
    return SIZE_MAX;
  };
  const Walk walked = walk(filter, cursor, false, visit);
  change.cursor = walked.cursor;
  change.waiting = walked.waiting;
  return change;
}

Queue::Change Queue::Impl::remove(const Filter& filter, uint64_t cursor) {
  Change change;
  const auto visit = [&](uint32_t index, const spool::MessageHead*, const Match& match, size_t) {
    const Delivery& delivery = *deliveries.at_index(index);
    if (busy(delivery.place)) return SIZE_MAX;
    Recipient room;
    first_part.clear();
    second_part.clear();
    for (const Recipient& recipient : recipients_of(delivery, room))
      (match.recipient(recipient) ? first_part : second_part).push_back(recipient);
    change.recipients += first_part.size();
    uint32_t doomed = index;
    detach(index);
    if (!second_part.empty()) {
      doomed = split(index, first_part, second_part);
      dispatch_again(index);
    }
    deliveries.at_index(doomed)->removed = true;
    doom(doomed);
    return SIZE_MAX;
  };
  const Walk walked = walk(filter, cursor, false, visit);
  change.cursor = walked.cursor;
  change.waiting = walked.waiting;
  return change;
}

// The rest of a delivery some of whose recipients were taken out: back to where it was.
void Queue::Impl::dispatch_again(uint32_t index) {
  const Delivery& delivery = *deliveries.at_index(index);
  if (delivery.due > tick_now()) return defer(index, delivery.due);
  dispatch(index);
}

}  // namespace ringmta::queue
