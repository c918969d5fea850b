// SPDX-License-Identifier: GPL-3.0-or-later
// DSNs from their making until they are on stable storage. A DSN is a message of its own, with the
// null reverse-path, kept, signed (DKIM, by the author's domain) and delivered like any other.
//
// Nothing is lost: the message it speaks of ends, and the states "bounced" and "expired" are
// recorded, only when the DSN is committed. Where the spool takes no messages, DSNs wait in memory,
// kNoticesMax of them; beyond that nothing begins that would owe another (verdicts.cc,
// settlement.cc, attempts.cc say how each case waits).
#include "queue_impl.h"

namespace ringmta::queue {

DsnRecipient& Queue::Impl::report_on(const smtp::RecipientView& recipient, DsnAction action) {
  if (!report.id) report.id = spool.next_id();
  DsnRecipient& told = report.recipients.emplace_back();
  told.address = recipient.address;
  told.original_recipient = recipient.original_recipient;
  told.action = action;
  return told;
}

// What is quoted was said by a host. What the DNS said of a domain is told in words of ours.
void Queue::Impl::report_reason(DsnRecipient& told, const ReasonView& reason) {
  told.status = reason.status;
  told.remote_mta = report.keep(std::string(reason.peer));
  if (reason.code != 0 && !reason.peer.empty()) {
    told.diagnostic = report.keep(reply_line(reason));
    told.to_connection = reason.phase < smtp::Phase::mail;
  } else {
    told.reason = report.keep(std::string(reason.text));
  }
}

// What `report` has gathered becomes a DSN. The message is in memory; `head` is its.
void Queue::Impl::send_notice(uint32_t message_index, const spool::MessageHead& head) {
  Message& message = *messages.at_index(message_index);
  original_parts.clear();
  original.clear();
  spool.parts(message.stored, true, original_parts);
  for (const iovec& part : original_parts)
    original.emplace_back(static_cast<const char*>(part.iov_base), part.iov_len);
  const MessageIdText id = to_text(report.id);
  DsnReport whole;
  whole.reporting_mta = options.hostname;
  whole.from = options.postmaster;
  whole.id = view(id);
  whole.reverse_path = head.envelope.reverse_path;
  whole.envelope_id = head.envelope.envelope_id;
  whole.dsn_return = head.envelope.dsn_return;
  whole.utf8 = head.envelope.utf8;
  whole.now = wall();
  whole.arrival = head.info.arrival;
  whole.recipients = report.recipients;
  whole.original = original;
  whole.return_size_max = options.dsn_return_max;

  SlotHandle handle;
  Notice& notice = *notices.take(handle);
  notice.id = report.id;
  notice.message = message_index;
  notice.reverse_path = head.envelope.reverse_path;
  notice.dsn = build_dsn(whole);
  notice.states = report.states;
  RINGMTA_ASSERT(message.holds < UINT16_MAX);
  ++message.holds;
  ++counters.dsns;
  if (!waiting_notices.empty() || !store_notice(handle.index)) {
    push_back(notices, waiting_notices, handle.index);
    arm_tick();
  }
}

bool Queue::Impl::store_notice(uint32_t index) {
  if (!spool.accepting()) return false;
  const Notice& notice = *notices.at_index(index);
  const smtp::RecipientView recipient{notice.reverse_path, {}, 0};
  spool::MessageHead head;
  head.envelope.eight_bit = notice.dsn.has_eight_bit;
  head.envelope.utf8 = notice.dsn.utf8;
  head.envelope.recipients = {&recipient, 1};
  head.info.arrival = wall();
  head.info.expiry = wall() + options.retry.expire_after;
  head.info.has_dot_stuffing = notice.dsn.has_dot_stuffing;
  head.info.has_eight_bit = notice.dsn.has_eight_bit;
  head.info.is_dsn = true;
  const std::string_view content = notice.dsn.content;
  const uint64_t tag = tag_of(Purpose::notice, index);
  if (host.sign != nullptr) {
    const QueueHost::Signing signing = host.sign(host.self, notice.id, head, content, tag);
    if (signing != QueueHost::Signing::unneeded) return signing == QueueHost::Signing::taken;
  }
  const spool::StoredHandle stored = spool.store(notice.id, head, {}, {&content, 1}, tag);
  return stored.index != UINT32_MAX;
}

// True: some still wait.
bool Queue::Impl::store_waiting() {
  while (!waiting_notices.empty() && store_notice(waiting_notices.head))
    pop_front(notices, waiting_notices);
  if (!waiting_notices.empty() && !notice_timer.armed())
    loop.timers().arm(notice_timer, now() + kNoticeRetry);
  return !waiting_notices.empty();
}

void Queue::Impl::notice_done(uint32_t index, spool::StoredHandle stored, bool committed) {
  if (!committed) {
    push_back(notices, waiting_notices, index);
    if (!notice_timer.armed()) loop.timers().arm(notice_timer, now() + kNoticeRetry);
    return;
  }
  Notice& notice = *notices.at_index(index);
  const uint32_t message_index = notice.message;
  Message& message = *messages.at_index(message_index);
  --message.holds;
  if (!end_if_done(message_index) && !notice.states.empty())
    spool.record_states(message.stored, notice.states);
  notices.release(notices.handle_at(index));

  views.clear();
  const auto head = spool::decode_head(spool.head(stored), views);
  RINGMTA_ASSERT(head.has_value());
  if (host.outcome != nullptr) {
    Outcome outcome;
    outcome.kind = Outcome::Kind::received;
    outcome.id = spool.id(stored);
    outcome.head = &*head;
    outcome.size = spool.wire_size(stored);
    host.outcome(host.self, outcome);
  }
  add(stored, *head, {});
}

}  // namespace ringmta::queue
