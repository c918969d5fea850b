// SPDX-License-Identifier: GPL-3.0-or-later
// A job comes back: each recipient gets its outcome, its state goes to the spool, what is left of
// the delivery waits again, and the sender is told what is owed.
//
// What is recorded when: "delivered" at once, so that a crash cannot deliver twice; "bounced" only
// when the DSN is on stable storage, so that a crash cannot lose it (notices.cc). A refusal while
// there is no room for a DSN is treated as a deferral: it will be refused again when there is.
#include <algorithm>

#include "queue_impl.h"

namespace ringmta::queue {

namespace {

ReasonView reason_of(const Attempt& attempt, const JobRecipient& result) {
  return {result.text, attempt.peer_name, result.phase, result.code, result.status};
}

}  // namespace

Verdict Queue::Impl::final_verdict(const Attempt& attempt, const JobRecipient& result,
                                   bool patience) const {
  const smtp::RecipientView& recipient = attempt.all_recipients[result.index];
  const bool null_path = attempt.head.envelope.reverse_path.empty();
  switch (result.verdict) {
    case Verdict::refused:
      return !notice_room() && dsn_wanted(recipient.notify, DsnAction::failed, null_path)
                 ? Verdict::deferred
                 : Verdict::refused;
    case Verdict::none:
    case Verdict::retry_now:
      return patience ? Verdict::retry_now : Verdict::deferred;
    default:
      return result.verdict;
  }
}

void Queue::Impl::tell_result(const Attempt& attempt, const JobRecipient& result,
                              Outcome::Kind kind, WallTime next, MessageId dsn) {
  if (host.outcome == nullptr) return;
  Outcome outcome;
  outcome.kind = kind;
  outcome.id = attempt.id;
  outcome.head = &attempt.head;
  outcome.recipient = result.index;
  outcome.job = &attempt;
  outcome.result = &result;
  outcome.site = sites.at_index(attempt.site_index)->site.name;
  outcome.size = attempt.transaction.content.wire_size;
  outcome.attempts = attempt.attempt;
  outcome.next_attempt = next;
  outcome.dsn = dsn;
  host.outcome(host.self, outcome);
}

// Reports to the sender, where one is owed, and says whether the state may be recorded at once.
void Queue::Impl::tell_delivered(const Attempt& attempt, const JobRecipient& result) {
  const smtp::RecipientView& recipient = attempt.all_recipients[result.index];
  const bool lmtp = sites.at_index(attempt.site_index)->site.lmtp;
  const DsnAction action = lmtp ? DsnAction::delivered : DsnAction::relayed;
  ++counters.delivered;
  states.push_back({.index = result.index, .fate = spool::Fate::delivered});
  MessageId dsn{};  // the report may be about others
  if (!attempt.peer_has_dsn &&
      dsn_wanted(recipient.notify, action, attempt.head.envelope.reverse_path.empty())) {
    report_result(attempt, result, recipient, action);
    dsn = report.id;
  }
  tell_result(attempt, result, Outcome::Kind::delivered, {}, dsn);
}

void Queue::Impl::tell_refused(const Attempt& attempt, const JobRecipient& result) {
  const smtp::RecipientView& recipient = attempt.all_recipients[result.index];
  ++counters.bounced;
  const spool::RecipientState state{.index = result.index, .fate = spool::Fate::bounced};
  MessageId dsn{};
  if (dsn_wanted(recipient.notify, DsnAction::failed, attempt.head.envelope.reverse_path.empty())) {
    report_result(attempt, result, recipient, DsnAction::failed);
    report.states.push_back(state);
    dsn = report.id;
  } else {
    states.push_back(state);
  }
  tell_result(attempt, result, Outcome::Kind::bounced, {}, dsn);
}

void Queue::Impl::report_result(const Attempt& attempt, const JobRecipient& result,
                                const smtp::RecipientView& recipient, DsnAction action) {
  DsnRecipient& told = report_on(recipient, action);
  told.status = result.status;
  if (attempt.peer.length > 0) told.remote_mta = attempt.peer_name;
  if (result.code != 0) {
    told.diagnostic = report.keep(reply_line(reason_of(attempt, result)));
  } else {
    told.reason = result.text;
    told.kept_back = true;
  }
  told.last_attempt = wall();
}

void Queue::Impl::job_done(Job* job) {
  auto& attempt = *static_cast<Attempt*>(job);
  Delivery& delivery = deliveries.get(attempt.delivery);
  RINGMTA_ASSERT(delivery.place == Place::active);
  const uint32_t index = attempt.delivery.index;
  const uint32_t message_index = delivery.message;
  attempt.site_index = delivery.site;
  SiteEntry& site = *sites.at_index(delivery.site);
  --site.active;
  place(index, Place::none);
  note_result(site, attempt);
  if (attempt.possible_duplicate) ++counters.possible_duplicates;

  const spool::StoredHandle stored = messages.at_index(message_index)->stored;
  // Lent to a shard that could not reach the site: no attempt was made.
  const bool not_tried = attempt.site_failed_until.ns != 0 && attempt.begun.ns == 0;
  if (not_tried) {
    for (JobRecipient& result : attempt.recipients) result.verdict = Verdict::retry_now;
  }
  const bool judged = std::ranges::any_of(attempt.recipients, [](const JobRecipient& result) {
    return result.verdict != Verdict::none && result.verdict != Verdict::retry_now;
  });
  if (judged) {
    delivery.immediate = 0;
  } else if (attempt.begun.ns != 0) {
    ++delivery.immediate;
  }
  const bool patience = delivery.immediate < kImmediateMax;
  Milliseconds wait{};  // of what is deferred
  WallTime next{};

  std::vector<Recipient>& deferred = first_part;
  std::vector<Recipient>& again = second_part;
  deferred.clear();
  again.clear();
  states.clear();
  report.clear();
  uint32_t reason = kNone;
  Recipient room;
  const auto recipients = recipients_of(delivery, room);
  for (size_t i = 0; i < recipients.size(); ++i) {
    const JobRecipient& result = attempt.recipients[i];
    switch (final_verdict(attempt, result, patience)) {
      case Verdict::delivered:
        tell_delivered(attempt, result);
        recipient_final(recipients[i]);
        break;
      case Verdict::refused:
        tell_refused(attempt, result);
        recipient_final(recipients[i]);
        break;
      case Verdict::deferred:
        if (deferred.empty()) {
          wait = retry_wait(schedule(delivery), attempt.attempt, prng);
          next = wall() + wait;
        }
        ++counters.deferrals;
        deferred.push_back(recipients[i]);
        if (reason == kNone) reason = reasons.use(reason_of(attempt, result));
        states.push_back({.index = result.index,
                          .fate = spool::Fate::pending,
                          .delay_reported = delivery.delay_reported,
                          .attempts = attempt.attempt,
                          .next_attempt = next});
        tell_result(attempt, result, Outcome::Kind::deferred, next, {});
        break;
      default:
        again.push_back(recipients[i]);
        break;
    }
  }
  if (!report.empty()) send_notice(message_index, attempt.head);

  uint32_t waiting = index;
  if (deferred.empty() && again.empty()) {
    free_delivery(index);
    waiting = kNone;
  } else if (deferred.empty()) {
    set_recipients(delivery, again);
    make_ready(index, site.site.id.value, true);
    free_again(index);
    waiting = kNone;
  } else if (again.empty()) {
    set_recipients(delivery, deferred);
  } else {
    waiting = split(index, deferred, again);
    make_ready(index, site.site.id.value, true);
    free_again(index);
  }
  if (waiting != kNone) {
    Delivery& later = *deliveries.at_index(waiting);
    later.attempts = attempt.attempt;
    later.immediate = 0;
    reasons.drop(later.reason);
    later.reason = reason;
    defer(waiting, tick_in(wait));
    free_again(waiting);
  }
  spool.unpin(stored);
  give_back(attempt);
  announce(site);
  if (end_if_done(message_index)) return;
  if (!states.empty()) spool.record_states(stored, states);
}

}  // namespace ringmta::queue
