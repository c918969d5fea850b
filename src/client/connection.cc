// SPDX-License-Identifier: GPL-3.0-or-later
// What happens on one connection: it comes up, the peer speaks, falls silent or goes away, it ends.
//
// The insight: there is one way out. However a connection ends, lose() or fail_opening() first gets
// a verdict for every recipient out of the protocol machine, then close() gives the stream back;
// jobs whose octets are still with the Io go back when it has let go of them.
//
// How timeouts work: `since` is renewed by progress in what is waited for (a whole reply, a part of
// the content taken by the peer), never by octets alone, so a peer that drips a reply gains
// nothing. The timer is moved only when it fires too early, which a busy connection's does once in
// minutes.
#include <cerrno>

#include "pools_impl.h"

namespace ringmta::client {
namespace {

constexpr std::string_view kGoodbye = "QUIT\r\n";
constexpr uint32_t kBusy = 10;  // transactions of a connection that is worth keeping
constexpr Milliseconds kLastWords = seconds(2);  // to read what a peer said before it broke off

// What is waited for besides the phases of the protocol.
constexpr uint8_t kSending = 100, kIdle = 101, kAfterBreak = 102, kUnset = 255;

std::string system_text(int code) {
  const std::string text = fail_errno("", code).error().message;
  return text.substr(text.find_first_not_of(": "));
}

std::string seconds_text(Milliseconds time) {
  return time.count % 1000 == 0 ? fmt::format("{} s", time.count / 1000)
                                : fmt::format("{} ms", time.count);
}

}  // namespace

// ---- coming up

void Pools::Impl::on_connected(Connection& connection, int32_t result) {
  if (connection.state != Connection::State::connecting) return;
  const Host& host = *connection.host;
  if (result < 0) {
    const std::string reason = host.text() + ": " + system_text(-result);
    const bool ours = result == -EADDRNOTAVAIL;  // no port is left for a connection of ours
    if (ours) warn(reason);
    fail_opening(connection, reason);
    return;
  }
  if (may_be_own(host.address) && is_own(host.address, loop.io().local(connection.stream))) {
    fail_opening(connection, host.text() + " is this relay itself: the mail would loop");
    return;
  }
  set_state(connection, Connection::State::opening);
  touch(connection);
}

void Pools::Impl::fail_opening(Connection& connection, std::string reason) {
  ++counters.connect_failures;
  host_trouble(connection, std::move(reason));
  // A peer that turned us away is told goodbye (RFC 5321 4.1.1.10) unless it has gone.
  const bool there = connection.state == Connection::State::opening && !connection.send_failed;
  const bool polite = there && !connection.sending && !stopping;
  if (polite) {
    const iovec goodbye{const_cast<char*>(kGoodbye.data()), kGoodbye.size()};
    loop.io().send(connection.stream, {&goodbye, 1});
    connection.sending = true;
  }
  close(connection, polite ? ring::CloseMode::graceful : ring::CloseMode::abort);
}

// ---- the peer speaks: all that is received comes through here

void Pools::Impl::feed(Connection& connection, Bytes data) {
  using Action = smtp::ClientSession::Action;
  while (connection.state != Connection::State::closing) {
    const smtp::ClientSession::Step step = connection.session.step(data);
    data = data.subspan(step.consumed);
    switch (step.action) {
      case Action::more:
        return;
      case Action::ready:
        opened(connection, *step.reply);
        break;
      case Action::recipient:
        judge(connection, step, false, {});
        break;
      case Action::finished:
        ++connection.finished;
        connection.host->works();
        finish(connection, *reinterpret_cast<queue::Job*>(step.tag));
        break;
      case Action::close:
        on_session_closed(connection, *step.reply);
        return;
    }
  }
}

void Pools::Impl::on_session_closed(Connection& connection, const smtp::Reply& reply) {
  if (connection.state == Connection::State::opening) {
    fail_opening(connection, connection.host->text() + ": " + reply.line());
    return;
  }
  if (connection.state == Connection::State::leaving && connection.jobs.empty()) {
    close(connection, ring::CloseMode::graceful);  // QUIT was answered
    return;
  }
  lose(connection, {}, ring::CloseMode::graceful);
}

// The peer's last octets have been looked at before.
void Pools::Impl::on_ended(Connection& connection, int32_t result) {
  const std::string how = result < 0 ? system_text(-result) : "the peer closed the connection";
  switch (connection.state) {
    case Connection::State::connecting:
    case Connection::State::closing:
      return;
    case Connection::State::opening:
      connection.send_failed = true;  // nobody is there to be told goodbye
      fail_opening(connection, fmt::format("{}: {} before the reply to {}", connection.host->text(),
                                           how, to_text(connection.session.waiting_for())));
      return;
    case Connection::State::ready:
    case Connection::State::leaving:
      break;
  }
  std::string reason = how;
  if (connection.session.waiting()) {
    reason += " before the reply to ";
    reason += to_text(connection.session.waiting_for());
  }
  const bool broken = result < 0 || connection.sending;
  lose(connection, reason, broken ? ring::CloseMode::abort : ring::CloseMode::graceful);
}

// ---- ending

// A connection past EHLO ends before its time. `reason`: our words, where the peer had none.
void Pools::Impl::lose(Connection& connection, std::string_view reason, ring::CloseMode mode) {
  using Action = smtp::ClientSession::Action;
  const bool was_up = connection.state == Connection::State::ready ||
                      connection.state == Connection::State::leaving;
  const bool working = !connection.jobs.empty();
  if (working) ++counters.lost;
  std::string said;
  while (true) {
    const smtp::ClientSession::Step step = connection.session.abandon();
    if (step.action == Action::more) break;
    if (step.action != Action::recipient) continue;  // jobs go back all together, below
    judge(connection, step, true, reason);
    if (said.empty()) said = reason.empty() ? step.reply->line() : std::string(reason);
  }
  if (was_up && working && connection.finished == 0) {
    if (said.empty()) said = reason.empty() ? "the connection ended" : std::string(reason);
    host_trouble(connection, connection.host->text() + ": " + said);
  }
  close(connection, mode);
}

// It ends by QUIT when what it has begun is through.
void Pools::Impl::leave(Connection& connection) {
  unplace(connection);
  set_state(connection, Connection::State::leaving);
  connection.session.quit();
  touch(connection);
}

void Pools::Impl::close(Connection& connection, ring::CloseMode mode) {
  unplace(connection);
  set_state(connection, Connection::State::closing);
  connection.dirty.unlink();
  loop.timers().cancel(connection.timer);
  loop.io().close(connection.stream, mode);
  if (connection.sending) return;  // on_sent() or on_closed() will do it
  while (queue::Job* job = connection.jobs.pop_front()) release(*job);
}

void Pools::Impl::on_closed(Connection& connection) {
  RINGMTA_ASSERT(connection.state == Connection::State::closing);
  while (queue::Job* job = connection.jobs.pop_front()) release(*job);
  SitePool& site = *connection.site;
  --site.connections;
  if (connection.retiring) --retiring;
  keep_copy(connection);
  connections.release(connection.slot);
  counters.connections = connections.size();
  touch(site);
  if (SitePool* next = waiting.front(); next != nullptr) touch(*next);
}

void Pools::Impl::set_state(Connection& connection, Connection::State state) {
  using State = Connection::State;
  SitePool& site = *connection.site;
  Host& host = *connection.host;
  const auto is_opening = [](State s) { return s == State::connecting || s == State::opening; };
  const auto is_up = [](State s) { return s == State::ready || s == State::leaving; };
  const State before = connection.state;
  if (is_opening(before) && !is_opening(state)) {
    --site.opening;
    --host.opening;
    --counters.connecting;
  }
  if (before == State::ready) --site.ready;
  if (is_up(before) && !is_up(state)) --host.established;
  if (state == State::ready) ++site.ready;
  if (!is_up(before) && is_up(state)) ++host.established;
  connection.state = state;
}

// ---- time

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
    case smtp::Phase::tls:
    case smtp::Phase::auth:
      return times.ehlo;
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

void Pools::Impl::set_deadline(Connection& connection) {
  const smtp::ClientSession& session = connection.session;
  uint8_t waits_for = static_cast<uint8_t>(smtp::Phase::connect);
  if (connection.send_failed) {
    waits_for = kAfterBreak;
  } else if (connection.sending) {
    waits_for = kSending;
  } else if (connection.state != Connection::State::connecting) {
    waits_for = session.waiting() ? static_cast<uint8_t>(session.waiting_for()) : kIdle;
  }
  const uint64_t progress = session.replies_seen() + connection.sends_done;
  if (waits_for != connection.waits_for || progress != connection.progress) {
    connection.waits_for = waits_for;
    connection.progress = progress;
    connection.since = now();
    connection.reported = false;
  }
  connection.deadline = connection.since + timeout_of(waits_for);
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
  timed_out(connection);
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
  const bool up = connection.state == Connection::State::ready ||
                  connection.state == Connection::State::leaving;
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
  if (up) {
    lose(connection, reason, ring::CloseMode::abort);
  } else {
    connection.send_failed = true;  // it is past goodbyes
    fail_opening(connection, connection.host->text() + ": " + reason);
  }
}

}  // namespace ringmta::client
