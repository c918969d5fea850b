// SPDX-License-Identifier: GPL-3.0-or-later
// From what the peer answered to what becomes of a recipient.
//
// The insight: a verdict of retry_now costs the message nothing, so it may be given only where
// something else moved on, or a peer could keep us busy for ever. It is: a transaction with too
// many recipients had others accepted; a transaction nobody looked at stood behind one that was
// judged; a connection lost before it had a content costs its host the rest of the row, so there
// are fewer hosts left to try (RFC 5321 5.1).
#include <algorithm>

#include "pools_impl.h"

namespace ringmta::client {
namespace {

using queue::Verdict;

constexpr size_t kTextMax = 1024;   // octets of a reply kept per recipient
constexpr uint16_t kClosing = 421;  // the peer closes the connection (RFC 5321 3.8)
constexpr uint16_t kPolicy = 7;     // X.7.X: security or policy (RFC 3463 3.8)

void append_line(std::string& into, std::string_view text) {
  text = text.substr(0, kTextMax);
  const size_t begin = into.size();
  into += text;
  for (size_t at = into.find('\n', begin); at != std::string::npos; at = into.find('\n', at)) {
    into[at] = ' ';
  }
}

void append_number(std::string& into, uint32_t value) {
  if (value >= 10) append_number(into, value / 10);
  into += static_cast<char>('0' + value % 10);
}

void set_text(std::string& text, const smtp::Reply& reply) {
  text.clear();
  if (reply.code != 0 && reply.status) {
    append_number(text, reply.status.klass);
    text += '.';
    append_number(text, reply.status.subject);
    text += '.';
    append_number(text, reply.status.detail);
    text += ' ';
  }
  append_line(text, reply.text);
}

// The connection is at its end, and the peer did not say that it is our fault.
bool broken_off(const smtp::ClientSession::Step& step, bool lost) {
  if (step.reply->code == kClosing) return step.reply->status.subject != kPolicy;
  return lost && step.reply->code == 0;
}

// "Authentication required", "STARTTLS first" and the like: our own settings are wrong, not the
// message (RFC 4954 6, RFC 3207 4).
bool wants_security(const smtp::Reply& reply, smtp::Phase phase) {
  const bool code = reply.code == 530 || reply.code == 535 || reply.code == 538;
  return code && phase == smtp::Phase::mail;
}

Verdict verdict_of(const smtp::Reply& reply, smtp::Phase phase) {
  if (reply.positive()) return Verdict::delivered;
  if (wants_security(reply, phase)) return Verdict::deferred;
  return reply.permanent() ? Verdict::refused : Verdict::deferred;
}

}  // namespace

// `lost`: the connection ended before the peer's reply; `reason` are our words for it, empty where
// the session's (or the peer's 421) tell more.
void Pools::Impl::judge(Connection& connection, const smtp::ClientSession::Step& step, bool lost,
                        std::string_view reason) {
  queue::Job& job = *reinterpret_cast<queue::Job*>(step.tag);
  queue::JobRecipient& recipient = job.recipients[step.index];
  RINGMTA_ASSERT(recipient.verdict == Verdict::none);
  const smtp::Reply& reply = *step.reply;
  recipient.phase = step.phase;
  recipient.code = reply.code;
  recipient.status = reply.status;
  set_text(recipient.text, reply);
  if (!reason.empty() && reply.code == 0) {
    recipient.text.clear();
    append_line(recipient.text, reason);
  }
  const bool not_the_first = connection.finished > 0 || &job != connection.jobs.front();
  const bool untouched = step.phase == smtp::Phase::mail;
  const bool unread = step.phase != smtp::Phase::content;
  if (step.too_many_recipients || (not_the_first && untouched && broken_off(step, lost))) {
    recipient.verdict = Verdict::retry_now;
  } else if (unread && broken_off(step, lost) && next_host_left(connection)) {
    recipient.verdict = Verdict::retry_now;
    connection.passes_on = true;
  } else {
    recipient.verdict = verdict_of(reply, step.phase);
  }
  // Which recipients that is about shows in that they have no code.
  if (lost && step.phase == smtp::Phase::content && handed_over(connection, job)) {
    job.possible_duplicate = true;
  }
}

// Of a job no connection has begun.
void Pools::Impl::judge_all(queue::Job& job, Verdict verdict, std::string_view reason,
                            smtp::EnhancedStatus status) {
  job.begun = {};
  job.peer.length = 0;
  job.peer_name.clear();
  job.tls = {};
  for (queue::JobRecipient& recipient : job.recipients) {
    recipient.verdict = verdict;
    recipient.phase = smtp::Phase::connect;
    recipient.code = 0;
    recipient.status = status;
    recipient.text.clear();
    append_line(recipient.text, reason);
  }
}

void Pools::Impl::finish(Connection& connection, queue::Job& job) {
  SitePool& site = *connection.site;
  const int64_t taken = now().ns - job.begun.ns;
  if (taken > 0) {  // 0: it never reached the peer
    if (site.transaction_ns == INT64_MAX) site.transaction_ns = taken;
    site.transaction_ns += (taken - site.transaction_ns) / 8;
  }
  if (site.window < UINT32_MAX && now() >= site.held_until) ++site.window;
  job.link.unlink();
  connection.expired_open = nullptr;
  release(job);
}

}  // namespace ringmta::client
