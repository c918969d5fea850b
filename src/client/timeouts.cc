// SPDX-License-Identifier: GPL-3.0-or-later
// What a connection is waited for, and how long (RFC 5321 4.5.3.2).
//
// The insight: `since` is renewed by progress in what is waited for (a whole reply, a part of the
// content taken by the peer), never by octets alone, so a peer that drips a reply gains nothing.
// The timer is moved only when it fires too early, which a busy connection's does once in minutes.
// A message's own expiry is a deadline like any other.
#include <algorithm>

#include "pools_impl.h"

namespace ringmta::client {
namespace {

constexpr uint32_t kBusy = 10;  // transactions of a connection that is worth keeping
constexpr Milliseconds kLastWords = seconds(2);   // to read what a peer said before it broke off
constexpr Milliseconds kLastReply = seconds(10);  // for that to the content of an expired message

// What is waited for besides the phases of the protocol.
constexpr uint8_t kSending = 100, kIdle = 101, kAfterBreak = 102;

std::string seconds_text(Milliseconds time) {
  return time.count % 1000 == 0 ? fmt::format("{} s", time.count / 1000)
                                : fmt::format("{} ms", time.count);
}

}  // namespace

Milliseconds Pools::Impl::timeout_of(uint8_t waits_for) const {
  const ClientTimeouts& times = options.timeouts;
  if (waits_for == kSending) return times.content_block;
  if (waits_for == kIdle) return times.idle;
  if (waits_for == kAfterBreak) return kLastWords;
  switch (static_cast<smtp::Phase>(waits_for)) {
    case smtp::Phase::connect:
      return times.connect;
    case smtp::Phase::greeting:
      return times.greeting;
    case smtp::Phase::ehlo:
      return times.ehlo;
    case smtp::Phase::tls:
      return times.tls;
    case smtp::Phase::auth:
      return times.auth;
    case smtp::Phase::mail:
      return times.mail;
    case smtp::Phase::recipient:
      return times.recipient;
    case smtp::Phase::data:
      return times.data;
    case smtp::Phase::content:
      return times.content_end;
    case smtp::Phase::quit:
      break;
  }
  return times.quit;
}

smtp::Phase Pools::Impl::awaited(const Connection& connection) {
  return in_handshake(connection) ? smtp::Phase::tls : connection.session.waiting_for();
}

void Pools::Impl::set_deadline(Connection& connection) {
  const smtp::ClientSession& session = connection.session;
  uint8_t waits_for = static_cast<uint8_t>(smtp::Phase::connect);
  if (connection.send_failed) {
    waits_for = kAfterBreak;
  } else if (connection.sending) {
    waits_for = kSending;
  } else if (connection.state != Connection::State::connecting) {
    const bool waits = session.waiting() || connection.state == Connection::State::opening;
    waits_for = waits ? static_cast<uint8_t>(awaited(connection)) : kIdle;
  }
  const uint64_t progress = session.replies_seen() + connection.sends_done;
  if (waits_for != connection.waits_for || progress != connection.progress) {
    connection.waits_for = waits_for;
    connection.progress = progress;
    connection.since = now();
    connection.reported = false;
  }
  connection.deadline = connection.since + timeout_of(waits_for);
  const queue::Job* first = connection.jobs.front();
  if (first != nullptr && first->expires < connection.deadline && first->expires.ns != 0) {
    connection.deadline = first != connection.expired_open
                              ? first->expires
                              : std::min(connection.deadline, connection.expired_until);
  }
  if (!connection.timer.armed() || connection.deadline < connection.timer.due) {
    loop.timers().arm(connection.timer, connection.deadline);
  }
}

void Pools::Impl::on_timer(Connection& connection) {
  if (connection.state == Connection::State::closing) return;
  if (now() < connection.deadline) {
    loop.timers().arm(connection.timer, connection.deadline);
    return;
  }
  if (now() < connection.since + timeout_of(connection.waits_for)) {
    first_job_expired(connection);
  } else {
    timed_out(connection);
  }
}

// The peer keeps a message waiting beyond its time. As long as it cannot have got its content the
// connection is given up at once, else a little later: nobody tries that message again, so there is
// no reason to wait for minutes to know. But if another message on the connection may have been
// taken, too, only a reply or its timeout may end it, or that one would be delivered twice.
void Pools::Impl::first_job_expired(Connection& connection) {
  const queue::Job* first = connection.jobs.front();
  if (first == nullptr || first->expires > now()) {
    set_deadline(connection);
    return;
  }
  bool first_open = false;
  bool other_open = false;
  for (const queue::Job* job = first; job != nullptr;
       job = connection.jobs.next(*const_cast<queue::Job*>(job))) {
    const bool open =
        connection.session.content_taken(job->transaction.tag) && handed_over(connection, *job);
    if (job == first) {
      first_open = open;
    } else {
      other_open = other_open || (open && job->expires > now());
    }
  }
  if (other_open || (first_open && now() < first->expires + kLastReply)) {
    connection.expired_open = first;
    connection.expired_until = other_open ? Monotonic::never() : first->expires + kLastReply;
    set_deadline(connection);
    return;
  }
  const bool broken = connection.sending;
  lose(connection,
       fmt::format("the message expired while the peer owed a reply to {}",
                   to_text(connection.session.waiting_for())),
       broken ? ring::CloseMode::abort : ring::CloseMode::graceful, false);
}

// The last connection of a site that had something to do is likely to be wanted again.
bool Pools::Impl::keep_warm(Connection& connection) {
  const SitePool& site = *connection.site;
  if (connection.begun < kBusy || site.idle.front() != site.idle.back()) return false;
  const Monotonic until = connection.since + options.warm_for;
  if (until <= now() || used_up(connection) || stopping) return false;
  connection.deadline = until;
  loop.timers().arm(connection.timer, until);
  return true;
}

void Pools::Impl::timed_out(Connection& connection) {
  const bool up = connection.is_up();
  if (connection.state == Connection::State::ready && connection.jobs.empty()) {
    if (!keep_warm(connection)) leave(connection);
    return;
  }
  ++counters.timeouts;
  const Milliseconds limit = timeout_of(connection.waits_for);
  std::string reason;
  switch (connection.waits_for) {
    case kSending:
      reason = fmt::format("the peer took nothing for {}", seconds_text(limit));
      break;
    case kAfterBreak:
      reason = "the connection broke while sending";
      break;
    default:
      reason =
          fmt::format("no reply to {} within {}",
                      to_text(static_cast<smtp::Phase>(connection.waits_for)), seconds_text(limit));
  }
  if (connection.state == Connection::State::connecting) {
    reason = fmt::format("no connection within {}", seconds_text(limit));
  }
  if (turning_to_tls(connection)) {
    tls_broken(connection, reason, true);
  } else if (up) {
    lose(connection, reason, ring::CloseMode::abort);
  } else {
    connection.send_failed = true;  // it is past goodbyes
    end_opening(connection, connection.host->text() + ": " + reason, kNoAnswer);
  }
}

}  // namespace ringmta::client
