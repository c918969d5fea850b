// SPDX-License-Identifier: GPL-3.0-or-later
// A message comes in: its recipients are grouped into deliveries, one for each site (or domain not
// known yet), and each goes where it has to wait. And the reverse: entries are freed, the message
// ends.
//
// Recovered messages come the same way, with the states that are known. Wall-clock times are turned
// into times of the monotonic clock here, once, and cut to what can be right: whatever the clock
// did while the relay was down, nothing waits longer than its schedule allows and nothing lives
// longer than it was meant to.
#include <algorithm>
#include <tuple>

#include "queue_impl.h"
#include "ringmta/base/bytes.h"

namespace ringmta::queue {

namespace {

bool together(const spool::RecipientState& a, const spool::RecipientState& b) {
  return a.attempts == b.attempts && a.next_attempt == b.next_attempt &&
         a.delay_reported == b.delay_reported;
}

const spool::RecipientState kFresh{};

}  // namespace

void Queue::Impl::add(spool::StoredHandle stored, const spool::MessageHead& head,
                      std::span<const spool::RecipientState> known) {
  const std::span<const smtp::RecipientView> recipients = head.envelope.recipients;
  const bool null_path = head.envelope.reverse_path.empty();
  SlotHandle handle;
  Message& message = *messages.take(handle);
  message.stored = stored;
  take_clock(message, head.info);
  lowered.assign(domain_of(head.envelope.reverse_path));
  for (char& c : lowered) c = ascii_lower(c);
  message.tenant =
      tenants.use(head.info.tenant.empty() ? std::string_view(lowered) : head.info.tenant);
  ++counters.messages;

  routed.clear();
  for (uint32_t i = 0; i < recipients.size(); ++i) routed.push_back({0, {i, kNone}, &kFresh});
  for (const spool::RecipientState& state : known) {
    if (state.index < routed.size()) routed[state.index].state = &state;
  }
  std::erase_if(routed, [](const Routed& one) { return final(one.state->fate); });
  for (Routed& one : routed) {
    const smtp::RecipientView& recipient = recipients[one.recipient.index];
    one.recipient.domain = use_domain(domain_of(recipient.address));
    one.key = company_of(one.recipient.domain);
    message.delay_wanted = message.delay_wanted || delay_asked(recipient.notify, null_path);
  }
  counters.recipients += routed.size();
  if (routed.size() > 1) {
    std::ranges::sort(routed, {}, [](const Routed& one) {
      return std::tuple(one.key, one.state->attempts, one.state->next_attempt,
                        one.state->delay_reported, one.recipient.index);
    });
  }
  for (size_t begin = 0, end = 0; begin < routed.size(); begin = end) {
    first_part.clear();
    while (end < routed.size() && routed[end].key == routed[begin].key &&
           together(*routed[end].state, *routed[begin].state)) {
      first_part.push_back(routed[end++].recipient);
    }
    const spool::RecipientState& state = *routed[begin].state;
    const uint32_t index = new_delivery(handle.index);
    Delivery& delivery = *deliveries.at_index(index);
    set_recipients(delivery, first_part);
    delivery.attempts = state.attempts;
    delivery.delay_reported = state.delay_reported;
    const RetryOptions& retry = schedule(delivery);
    const auto longest =
        static_cast<int64_t>(static_cast<double>(retry.longest.count) * (1.0 + retry.jitter));
    const int64_t wait = std::min((state.next_attempt - wall()).count, longest);
    if (state.attempts > 0 && wait > 0) {
      defer(index, tick_in({wait}));
    } else {
      dispatch(index);
    }
  }
  set_clock(handle.index);
  end_if_done(handle.index);
}

void Queue::Impl::take_clock(Message& message, const spool::MessageInfo& info) const {
  const Milliseconds told = info.expiry - info.arrival;
  const int64_t lifetime = told.count > 0 ? told.count : options.retry.expire_after.count;
  const int64_t age = std::clamp<int64_t>((wall() - info.arrival).count, 0, lifetime);
  // What ran out while the relay was down, or by a clock that was set forward, is tried once more.
  const int64_t left = lifetime - age;
  message.expires = tick_in({left > 0 ? left : std::min(lifetime, kGrace.count)});
  message.arrived = static_cast<int32_t>(static_cast<int64_t>(tick_now()) - age / kTickMs);
}

uint32_t Queue::Impl::new_delivery(uint32_t message_index) {
  Message& message = *messages.at_index(message_index);
  SlotHandle handle;
  Delivery& made = *deliveries.take(handle);
  made.message = message_index;
  made.sibling_next = message.first_delivery;
  if (made.sibling_next != kNone)
    deliveries.at_index(made.sibling_next)->sibling_previous = handle.index;
  message.first_delivery = handle.index;
  return handle.index;
}

void Queue::Impl::set_recipients(Delivery& delivery, std::span<const Recipient> recipients) {
  if (delivery.several && recipients.size() < 2) {
    list_octets -= lists.at_index(delivery.recipient)->capacity() * sizeof(Recipient);
    lists.release(lists.handle_at(delivery.recipient));
    delivery.several = false;
  }
  if (recipients.empty()) return;
  delivery.domain = recipients[0].domain;
  if (recipients.size() == 1) {
    delivery.recipient = recipients[0].index;
    return;
  }
  if (!delivery.several) {
    SlotHandle handle;
    lists.take(handle);
    delivery.recipient = handle.index;
    delivery.several = true;
  }
  RecipientList& list = *lists.at_index(delivery.recipient);
  list_octets -= list.capacity() * sizeof(Recipient);
  RecipientList(recipients.begin(), recipients.end()).swap(list);  // exactly as large
  list_octets += list.capacity() * sizeof(Recipient);
}

std::span<const Recipient> Queue::Impl::recipients_of(const Delivery& delivery, Recipient& room) {
  if (delivery.several) return *lists.at_index(delivery.recipient);
  room = {delivery.recipient, delivery.domain};
  return {&room, 1};
}

uint32_t Queue::Impl::recipient_count(const Delivery& delivery) {
  return delivery.several ? static_cast<uint32_t>(lists.at_index(delivery.recipient)->size()) : 1;
}

uint32_t Queue::Impl::split(uint32_t index, std::span<const Recipient> taken,
                            std::span<const Recipient> rest) {
  const uint32_t made_index = new_delivery(deliveries.at_index(index)->message);
  Delivery& made = *deliveries.at_index(made_index);
  Delivery& from = *deliveries.at_index(index);
  made.attempts = from.attempts;
  made.delay_reported = from.delay_reported;
  made.immediate = from.immediate;
  made.reason = reasons.use_again(from.reason);
  if (from.site != kNone) assign_site(made, from.site);
  set_recipients(made, taken);
  set_recipients(from, rest);
  return made_index;
}

void Queue::Impl::recipient_final(const Recipient& recipient) {
  --counters.recipients;
  drop_domain(recipient.domain, 1);
}

void Queue::Impl::free_delivery(uint32_t index) {
  Delivery& delivery = *deliveries.at_index(index);
  RINGMTA_ASSERT(delivery.place == Place::none);
  set_recipients(delivery, {});
  assign_site(delivery, kNone);
  reasons.drop(delivery.reason);
  if (delivery.sibling_next != kNone)
    deliveries.at_index(delivery.sibling_next)->sibling_previous = delivery.sibling_previous;
  if (delivery.sibling_previous != kNone) {
    deliveries.at_index(delivery.sibling_previous)->sibling_next = delivery.sibling_next;
  } else {
    messages.at_index(delivery.message)->first_delivery = delivery.sibling_next;
  }
  deliveries.release(deliveries.handle_at(index));
}

// Every recipient is final and nothing is owed to the sender any more.
bool Queue::Impl::end_if_done(uint32_t index) {
  Message& message = *messages.at_index(index);
  if (message.first_delivery != kNone || message.holds > 0 || message.timing == Timing::loading)
    return false;
  stop_clock(index);
  spool.finish(message.stored);
  tenants.drop(message.tenant);
  messages.release(messages.handle_at(index));
  --counters.messages;
  return true;
}

}  // namespace ringmta::queue
