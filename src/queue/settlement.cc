// SPDX-License-Identifier: GPL-3.0-or-later
// What a message is owed by the clock: to expire on time wherever its deliveries wait, a delay
// notice, the return of what a domain does not take, and the last word on what was removed.
//
// The insight: all of these need the message's head, which may be on disk, and none is urgent to
// the millisecond. So a message whose time has come is a *chore*: its head is read, a few at a
// time, then everything owed by then is done at once (settle()). Deliveries that are under way are
// left alone; what they bring back decides, and the clock is set anew then.
#include <fmt/format.h>

#include <algorithm>

#include "queue_impl.h"
#include "ringmta/base/log.h"

namespace ringmta::queue {

namespace {

constexpr uint32_t kChoresPerTurn = 128;

uint32_t after(int32_t arrived, Milliseconds wait) {
  return static_cast<uint32_t>(
      std::clamp<int64_t>(arrived + wait.count / kTickMs, 0, UINT32_MAX - 1));
}

std::string duration_text(int64_t ms) {
  const int64_t minutes_rounded = (ms + 30'000) / 60'000;
  const auto words = [](int64_t count, std::string_view unit) {
    return fmt::format("{} {}{}", count, unit, count == 1 ? "" : "s");
  };
  if (ms < 120'000) return words((ms + 500) / 1000, "second");
  if (minutes_rounded < 120) return words(minutes_rounded, "minute");
  if (minutes_rounded < 48 * 60) return words((minutes_rounded + 30) / 60, "hour");
  return words((minutes_rounded + 720) / 1440, "day");
}

}  // namespace

uint32_t Queue::Impl::expiry_of(const Message& message, const Delivery& delivery) {
  const uint32_t rule = domains.at_index(delivery.domain)->retry;
  return rule == 0 ? message.expires : after(message.arrived, schedules[rule].expire_after);
}

uint32_t Queue::Impl::delay_of(const Message& message, const Delivery& delivery) {
  if (!message.delay_wanted || delivery.delay_reported) return kNone;
  return after(message.arrived, schedule(delivery).delay_notice_after);
}

// The next time something is owed. `not_before`: it could not be done now.
void Queue::Impl::set_clock(uint32_t index, uint32_t not_before) {
  Message& message = *messages.at_index(index);
  stop_clock(index);
  uint32_t due = kNone;
  for (uint32_t at = message.first_delivery; at != kNone;
       at = deliveries.at_index(at)->sibling_next) {
    const Delivery& delivery = *deliveries.at_index(at);
    if (busy(delivery.place)) continue;  // free_again() will speak for it
    if (delivery.place == Place::doomed) due = 0;
    due = std::min({due, expiry_of(message, delivery), delay_of(message, delivery)});
  }
  if (due == kNone) return;
  message.timing = Timing::wheel;
  clocks.arm(index, std::max(due, not_before));
}

void Queue::Impl::free_again(uint32_t index) {
  const Delivery& delivery = *deliveries.at_index(index);
  Message& message = *messages.at_index(delivery.message);
  if (message.timing == Timing::chore || message.timing == Timing::loading) return;
  const uint32_t due = std::min(expiry_of(message, delivery), delay_of(message, delivery));
  if (message.timing == Timing::wheel && message.due <= due) return;
  stop_clock(delivery.message);
  message.timing = Timing::wheel;
  clocks.arm(delivery.message, due);
}

void Queue::Impl::stop_clock(uint32_t index) {
  Message& message = *messages.at_index(index);
  RINGMTA_ASSERT(message.timing != Timing::loading);
  if (message.timing == Timing::wheel) clocks.cancel(index);
  if (message.timing == Timing::chore) take_off(messages, chores, index);
  message.timing = Timing::none;
}

void Queue::Impl::make_chore(uint32_t index) {
  Message& message = *messages.at_index(index);
  if (message.timing == Timing::chore || message.timing == Timing::loading) return;
  stop_clock(index);
  message.timing = Timing::chore;
  push_back(messages, chores, index);
  arm_tick();
}

bool Queue::Impl::run_chores() {
  for (uint32_t done = 0; done < kChoresPerTurn && !chores.empty(); ++done) {
    if (chore_loads >= kChoreLoadsMax) return false;  // a load that ends wakes us
    const uint32_t index = chores.head;
    const spool::StoredHandle stored = messages.at_index(index)->stored;
    stop_clock(index);
    if (messages.at_index(index)->blocked && !notice_room()) {
      set_clock(index, tick_in(kBlockedRetry));  // not worth reading it for
    } else if (spool.in_memory(stored)) {
      spool.pin(stored);
      settle(index);
    } else {
      messages.at_index(index)->timing = Timing::loading;
      ++chore_loads;
      spool.load(stored, tag_of(Purpose::chore, index));
    }
  }
  return !chores.empty() && chore_loads < kChoreLoadsMax;
}

void Queue::Impl::chore_loaded(uint32_t index, bool readable) {
  Message& message = *messages.at_index(index);
  RINGMTA_ASSERT(message.timing == Timing::loading);
  message.timing = Timing::none;
  --chore_loads;
  if (readable) return settle(index);
  unreadable(index);
  // The operator may remove what cannot be read; there is nobody to tell.
  for (uint32_t at = message.first_delivery, next = kNone; at != kNone; at = next) {
    const Delivery& delivery = *deliveries.at_index(at);
    next = delivery.sibling_next;
    if (delivery.place != Place::doomed || !delivery.removed) continue;
    detach(at);
    Recipient room;
    for (const Recipient& recipient : recipients_of(delivery, room)) {
      ++counters.removed;
      recipient_final(recipient);
    }
    free_delivery(at);
  }
  set_clock(index, read_again(index));
  end_if_done(index);
}

void Queue::Impl::unreadable(uint32_t index) {
  Message& message = *messages.at_index(index);
  if (message.unreadable) return;
  message.unreadable = true;
  log(LogLevel::error,
      "message {} cannot be read back from the spool; it is kept: look at the disk, then at "
      "'ringmta queue show'",
      view(to_text(spool.id(message.stored))));
}

// When to read it again after a failure: a wire that garbles one read is well the next moment, a
// disk that is being mended is not. What is read for several deliveries at once fails once.
uint32_t Queue::Impl::read_again(uint32_t index) {
  constexpr uint32_t kDoublingsMax = 6;
  static_assert(kUnreadableFirst.count << kDoublingsMax >= kUnreadableLongest.count);
  Message& message = *messages.at_index(index);
  const Milliseconds wait{
      std::min(kUnreadableFirst.count << message.reads_failed, kUnreadableLongest.count)};
  bool last = true;
  for (uint32_t at = message.first_delivery; at != kNone;
       at = deliveries.at_index(at)->sibling_next) {
    last = last && deliveries.at_index(at)->place != Place::loading;
  }
  if (last && message.reads_failed < kDoublingsMax) ++message.reads_failed;
  return tick_in(wait);
}

// What ran out while nobody could read it was not tried: it is, once more (like what ran out while
// the relay was down; intake.cc).
void Queue::Impl::readable_again(uint32_t index) {
  Message& message = *messages.at_index(index);
  if (message.reads_failed == 0) return;
  message.reads_failed = 0;
  message.unreadable = false;
  static_assert(kUnreadableLongest < kGrace);
  const int64_t until = tick_in(kGrace);
  message.expires = std::max(message.expires, static_cast<uint32_t>(until));
  for (uint32_t at = message.first_delivery; at != kNone;
       at = deliveries.at_index(at)->sibling_next) {
    const int64_t short_of = until - expiry_of(message, *deliveries.at_index(at));
    if (short_of > 0) message.arrived += static_cast<int32_t>(short_of);  // a schedule of its own
  }
}

// Does everything owed by now. The content is pinned once for us.
void Queue::Impl::settle(uint32_t index) {
  readable_again(index);
  const spool::StoredHandle stored = messages.at_index(index)->stored;
  views.clear();
  const auto head = spool::decode_head(spool.head(stored), views);
  RINGMTA_ASSERT(head.has_value());
  states.clear();
  report.clear();
  bool all = true;
  for (uint32_t at = messages.at_index(index)->first_delivery, next = kNone; at != kNone;
       at = next) {
    next = deliveries.at_index(at)->sibling_next;
    all = settle_delivery(at, *head) && all;
  }
  if (!report.empty()) send_notice(index, *head);
  spool.unpin(stored);
  messages.at_index(index)->blocked = !all;
  if (end_if_done(index)) return;
  if (!states.empty()) spool.record_states(stored, states);
  set_clock(index, all ? 0 : tick_in(kBlockedRetry));
}

bool Queue::Impl::wants(const Delivery& delivery, const spool::MessageHead& head,
                        DsnAction action) {
  Recipient room;
  const auto recipients = recipients_of(delivery, room);
  return std::ranges::any_of(recipients, [&](const Recipient& recipient) {
    const uint8_t notify = head.envelope.recipients[recipient.index].notify;
    const bool null_path = head.envelope.reverse_path.empty();
    return action == DsnAction::delayed ? delay_asked(notify, null_path)
                                        : dsn_wanted(notify, action, null_path);
  });
}

// False: something is owed that cannot be done now, for want of room for a DSN.
bool Queue::Impl::settle_delivery(uint32_t index, const spool::MessageHead& head) {
  const Delivery& delivery = *deliveries.at_index(index);
  const Message& message = *messages.at_index(delivery.message);
  if (busy(delivery.place)) return true;
  const bool expired = expiry_of(message, delivery) <= tick_now();
  if (delivery.removed) {
    end_delivery(index, head, Outcome::Kind::removed);
  } else if (delivery.refused || expired) {
    if (!notice_room() && wants(delivery, head, DsnAction::failed)) return false;
    end_delivery(index, head, delivery.refused ? Outcome::Kind::bounced : Outcome::Kind::expired);
  } else if (delay_of(message, delivery) <= tick_now()) {
    if (!notice_room() && wants(delivery, head, DsnAction::delayed)) return false;
    tell_delay(index, head);
  } else if (delivery.place == Place::doomed) {
    detach(index);  // it has got more time meanwhile
    dispatch(index);
  }
  return true;
}

void Queue::Impl::end_delivery(uint32_t index, const spool::MessageHead& head, Outcome::Kind kind) {
  detach(index);
  const Delivery& delivery = *deliveries.at_index(index);
  const ReasonView reason = why(delivery);
  const spool::Fate fate = kind == Outcome::Kind::removed   ? spool::Fate::removed
                           : kind == Outcome::Kind::expired ? spool::Fate::expired
                                                            : spool::Fate::bounced;
  uint64_t& counter = kind == Outcome::Kind::removed   ? counters.removed
                      : kind == Outcome::Kind::expired ? counters.expired
                                                       : counters.bounced;
  Recipient room;
  const auto recipients = recipients_of(delivery, room);
  for (const Recipient& recipient : recipients) {
    ++counter;
    const smtp::RecipientView& address = head.envelope.recipients[recipient.index];
    MessageId dsn{};
    if (kind != Outcome::Kind::removed &&
        dsn_wanted(address.notify, DsnAction::failed, head.envelope.reverse_path.empty())) {
      DsnRecipient& told = report_on(address, DsnAction::failed);
      report_reason(told, reason);
      if (kind == Outcome::Kind::expired) {
        if (told.status.klass == 0) told.status = {4, 4, 7};
        const Milliseconds age = wall() - head.info.arrival;
        told.reason = report.keep(fmt::format(
            "It could not be delivered in {}.{}{}", duration_text(std::max<int64_t>(age.count, 0)),
            told.reason.empty() ? "" : " The last trouble was: ", told.reason));
      }
      report.states.push_back({.index = recipient.index, .fate = fate});
      dsn = report.id;
    } else {
      states.push_back({.index = recipient.index, .fate = fate});
    }
    tell(delivery, recipient, head, kind, dsn);
    recipient_final(recipient);
  }
  free_delivery(index);
}

// Recorded at once: should a crash keep the notice from stable storage, the sender misses a notice
// but is never told twice.
void Queue::Impl::tell_delay(uint32_t index, const spool::MessageHead& head) {
  Delivery& delivery = *deliveries.at_index(index);
  delivery.delay_reported = true;
  const ReasonView reason = why(delivery);
  const Message& message = *messages.at_index(delivery.message);
  const bool deferred = delivery.place == Place::deferred;
  Recipient room;
  for (const Recipient& recipient : recipients_of(delivery, room)) {
    const smtp::RecipientView& address = head.envelope.recipients[recipient.index];
    states.push_back({.index = recipient.index,
                      .fate = spool::Fate::pending,
                      .delay_reported = true,
                      .attempts = delivery.attempts,
                      .next_attempt = deferred ? wall_of(delivery.due) : wall()});
    if (!delay_asked(address.notify, head.envelope.reverse_path.empty())) continue;
    DsnRecipient& told = report_on(address, DsnAction::delayed);
    report_reason(told, reason);
    if (told.status.klass == 5) told.status.klass = 4;  // for the host, but not yet for us
    told.retry_until = wall_of(expiry_of(message, delivery));
  }
}

// An outcome with no job behind it. Of a refusal by the domain the words are told, of what ran out
// the last trouble.
void Queue::Impl::tell(const Delivery& delivery, const Recipient& recipient,
                       const spool::MessageHead& head, Outcome::Kind kind, MessageId dsn) {
  if (host.outcome == nullptr) return;
  const spool::StoredHandle stored = messages.at_index(delivery.message)->stored;
  Outcome outcome;
  outcome.kind = kind;
  outcome.id = spool.id(stored);
  outcome.head = &head;
  outcome.recipient = recipient.index;
  if (const uint32_t site = site_of(delivery); site != kNone)
    outcome.site = sites.at_index(site)->site.name;
  outcome.size = spool.wire_size(stored);
  outcome.attempts = delivery.attempts;
  outcome.dsn = dsn;
  const ReasonView reason = why(delivery);
  if (kind == Outcome::Kind::bounced || (kind == Outcome::Kind::expired && !reason.text.empty())) {
    last_word.attempt = delivery.attempts;
    last_word.peer_name = reason.peer;
    last_word.recipients.resize(1);
    JobRecipient& result = last_word.recipients[0];
    result.index = recipient.index;
    result.verdict = kind == Outcome::Kind::bounced ? Verdict::refused : Verdict::deferred;
    result.phase = reason.phase;
    result.code = reason.code;
    result.status = reason.status;
    result.text = reason.text;
    outcome.job = &last_word;
    outcome.result = &result;
  }
  host.outcome(host.self, outcome);
}

}  // namespace ringmta::queue
