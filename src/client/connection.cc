// SPDX-License-Identifier: GPL-3.0-or-later
// What happens on one connection: it comes up, the peer speaks, falls silent or goes away, it ends.
//
// The insight: there is one way out. However a connection ends, lose() or fail_opening() first gets
// a verdict for every recipient out of the protocol machine, then close() gives the stream back;
// jobs whose octets are still with the Io go back when it has let go of them.
#include <cerrno>

#include "pools_impl.h"

namespace ringmta::client {
namespace {

constexpr std::string_view kGoodbye = "QUIT\r\n";
constexpr uint16_t kSecurity = 7;  // X.7.X (RFC 3463 3.8)

std::string system_text(int code) {
  const std::string text = fail_errno("", code).error().message;
  return text.substr(text.find_first_not_of(": "));
}

}  // namespace

// ---- coming up

void Pools::Impl::on_connected(Connection& connection, int32_t result) {
  if (connection.state != Connection::State::connecting) return;
  const Host& host = *connection.host;
  if (result < 0) {
    const std::string reason = host.text() + ": " + system_text(-result);
    if (is_our_shortage(-result) || result == -EADDRNOTAVAIL) {  // no port is left for us
      our_shortage(*connection.site, reason);
      close(connection, ring::CloseMode::abort);
    } else {
      fail_opening(connection, reason, kNoAnswer, is_unroutable(-result));
    }
    return;
  }
  if (may_be_own(host.address) && is_own(host.address, loop.io().local(connection.stream))) {
    fail_opening(connection, host.text() + " is this relay itself: the mail would loop");
    return;
  }
  set_state(connection, Connection::State::opening);
  touch(connection);
  if (is_implicit(security_of(*connection.site), host)) begin_tls(connection);
}

void Pools::Impl::fail_opening(Connection& connection, std::string reason,
                               smtp::EnhancedStatus status, bool unroutable) {
  ++counters.connect_failures;
  host_trouble(connection, std::move(reason), status, unroutable);
  part(connection);
}

// The end of a connection that never came up.
void Pools::Impl::part(Connection& connection) {
  // A peer that turned us away is told goodbye (RFC 5321 4.1.1.10) unless it has gone.
  const bool there = connection.state == Connection::State::opening && !connection.send_failed;
  const bool polite = there && !connection.sending && !stopping;
  if (polite) {
    const iovec goodbye{const_cast<char*>(kGoodbye.data()), kGoodbye.size()};
    if (connection.secure == nullptr) {
      transmit(connection, {&goodbye, 1});
    } else if (connection.secure->session.write({&goodbye, 1})) {
      send_sealed(connection);
    }
  }
  close(connection,
        polite || connection.alerted ? ring::CloseMode::graceful : ring::CloseMode::abort);
}

// ---- the peer speaks

// All that is received comes through here.
void Pools::Impl::on_received(Connection& connection, Bytes data) {
  if (connection.paused) {  // its handshake goes on in another turn, with all that comes until then
    loop.io().pause(connection.stream, data);
    return;
  }
  if (connection.secure == nullptr) {
    feed(connection, data);
  } else {
    receive_sealed(connection, data);
  }
  touch(connection);
}

void Pools::Impl::feed(Connection& connection, Bytes data) {
  using Action = smtp::ClientSession::Action;
  while (connection.state != Connection::State::closing) {
    const smtp::ClientSession::Step step = connection.session.step(data);
    data = data.subspan(step.consumed);
    switch (step.action) {
      case Action::more:
        return;
      case Action::start_tls:
        begin_tls(connection);
        return;
      case Action::authenticate:
        authenticate(connection, step.reply);
        break;
      case Action::challenge:
        on_challenge(connection, *step.reply);
        break;
      case Action::authenticated:
        if (!on_authenticated(connection)) return;
        break;
      case Action::ready:
        opened(connection);
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
        on_session_closed(connection, step);
        return;
    }
  }
}

void Pools::Impl::on_session_closed(Connection& connection, const smtp::ClientSession::Step& step) {
  const smtp::Reply& reply = *step.reply;
  if (connection.state == Connection::State::opening) {
    // Words of our own about STARTTLS are those of a policy, or tell of an attack.
    const bool of_tls =
        step.phase == smtp::Phase::ehlo || (step.phase == smtp::Phase::tls && reply.code != 0);
    if (of_tls &&
        open_otherwise(connection, step.phase, connection.host->text() + ": " + reply.line())) {
      return;
    }
    // Our own words about a policy have their status; the peer's are in the text.
    const bool policy = reply.code == 0 && reply.status.subject == kSecurity;
    SitePool& site = *connection.site;
    if (reply.code / 100 == 4) site.crowded = true;
    const std::string line = line_to_show(connection, reply);
    SitePool::Refusal refusal;
    if (reply.code >= 400) {
      refusal = {reply.code, reply.status, step.phase, line.substr(line.find(' ') + 1),
                 connection.host->name};
    }
    fail_opening(connection, connection.host->text() + ": " + (policy ? reply.text : line),
                 policy ? reply.status : kNoAnswer);
    site.refusal = std::move(refusal);
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
      if (turning_to_tls(connection)) {
        tls_broken(connection, how + " during the TLS handshake", true);
        return;
      }
      connection.send_failed = true;  // nobody is there to be told goodbye
      end_opening(connection,
                  fmt::format("{}: {} before the reply to {}", connection.host->text(), how,
                              to_text(awaited(connection))),
                  kNoAnswer);
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
void Pools::Impl::lose(Connection& connection, std::string_view reason, ring::CloseMode mode,
                       bool blame_host) {
  using Action = smtp::ClientSession::Action;
  const bool was_up = connection.is_up();
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
  if (blame_host && was_up && working && connection.finished == 0) {
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
  if (connection.is_up() && !connection.passes_on) connection.site->end_row();
  unplace(connection);
  set_state(connection, Connection::State::closing);
  connection.dirty.unlink();
  connection.postponed.unlink();
  connection.unauthenticated.unlink();
  if (mode == ring::CloseMode::graceful && connection.secure != nullptr && !connection.sending &&
      !connection.send_failed) {
    connection.secure->session.close();
    send_sealed(connection);
  }
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
  const uint32_t over_tls = connection.secure != nullptr ? 1 : 0;
  if (is_up(before) && !is_up(state)) {
    --host.established;
    host.over_tls -= over_tls;
  }
  if (state == State::ready) ++site.ready;
  if (!is_up(before) && is_up(state)) {
    ++host.established;
    host.over_tls += over_tls;
  }
  connection.state = state;
}

}  // namespace ringmta::client
