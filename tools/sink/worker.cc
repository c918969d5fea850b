// SPDX-License-Identifier: GPL-3.0-or-later
// Between session and ring: hands octets over, sends what the session wrote (in pieces or late when
// a rule wants so), and closes as it wishes.
#include "tools/sink/worker.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/common/process.h"

namespace ringmta::tools {
namespace {

constexpr uint32_t kConnectionsMax = 60'000;
constexpr uint32_t kReceiveBuffers = 1024;
constexpr uint32_t kReceiveBufferSize = 16 * 1024;
constexpr size_t kUnsentMax = 4 * 1024 * 1024;  // replies that a client does not read
constexpr Milliseconds kLeaveMax{1000};

// Null: without TLS.
Result<std::shared_ptr<tls::ServerContext>> make_tls(const SinkState& state) {
  if (state.options.tls_certificate.empty()) return nullptr;
  auto chain = read_whole_file(state.options.tls_certificate);
  auto key = read_whole_file(state.options.tls_key);
  if (!chain) return std::unexpected(chain.error());
  if (!key) return std::unexpected(key.error());
  tls::ServerOptions how;
  how.certificates.push_back({state.options.tls_certificate, std::move(*chain), std::move(*key)});
  how.channel_binding = false;
  auto made = tls::ServerContext::create(how);
  if (made) (*made)->set_ticket_keys(state.ticket_keys);
  return made;
}

}  // namespace

SinkWorker::SinkWorker(SinkState& state, uint32_t thread)
    : state_(state),
      context_(state.options, state.rules, state.ledger, state.corrupt_samples, counts_, thread,
               state.auth),
      connections_(kConnectionsMax) {}

SinkWorker::~SinkWorker() = default;

Result<std::vector<SocketAddress>> SinkWorker::listen(const std::vector<SocketAddress>& addresses) {
  ring::IoOptions options;
  options.shard = {static_cast<uint16_t>(context_.thread)};
  options.receive_buffers = kReceiveBuffers;
  options.receive_buffer_size = kReceiveBufferSize;
  options.doorbell = ring::Token::make(shard::kind(shard::Owner::loop));
  auto io = ring::Io::create(options);
  if (!io) return std::unexpected(io.error());
  io_ = std::move(*io);
  loop_ = std::make_unique<shard::Loop>(*io_);
  loop_->handle(shard::Owner::listener, this, on_accept);
  loop_->handle(shard::Owner::server, this, on_stream);
  if (auto made = make_tls(state_); !made) {
    return std::unexpected(made.error());
  } else {
    tls_ = std::move(*made);
  }
  std::vector<SocketAddress> real;
  for (size_t i = 0; i < addresses.size(); ++i) {
    const auto token =
        ring::Token::make(shard::kind(shard::Owner::listener), static_cast<uint32_t>(i));
    const auto listener = io_->listen(addresses[i], {}, token);
    if (!listener) return std::unexpected(listener.error());
    listeners_.push_back(*listener);
    real.push_back(io_->listening_on(*listener));
    listener_texts_.push_back(real.back().text());
  }
  return real;
}

void SinkWorker::run() {
  while (!loop_->stopping()) loop_->turn();
  for (const ring::ListenerId listener : listeners_) io_->stop_listening(listener);
  connections_.for_each([this](Connection& connection, SlotHandle) {
    connection.session.shut_down();
    settle(connection);
  });
  const Monotonic until = io_->now() + kLeaveMax;
  while (connections_.size() > 0 && io_->now() < until) loop_->turn(until);
  connections_.for_each(
      [this](Connection& connection, SlotHandle) { close(connection, ring::CloseMode::abort); });
  const Monotonic at_last = io_->now() + kLeaveMax;
  while (connections_.size() > 0 && io_->now() < at_last) loop_->turn(at_last);
}

void SinkWorker::stop() { loop_->stop(); }

void SinkWorker::on_accept(void* self, const ring::Event& event) {
  if (event.kind == ring::EventKind::accepted && event.result >= 0)
    static_cast<SinkWorker*>(self)->accepted(event);
}

void SinkWorker::accepted(const ring::Event& event) {
  const uint32_t number = event.token.index();
  ListenerCounts& listener = state_.listeners[number];
  SlotHandle handle;
  Connection* connection = connections_.take(handle, context_, io_->peer(event.stream).text(),
                                             listener_texts_[number], listener);
  const auto token = ring::Token::make(shard::kind(shard::Owner::server),
                                       connection != nullptr ? handle : SlotHandle{});
  if (connection == nullptr) {
    io_->close(event.stream, ring::CloseMode::abort);
    return;
  }
  connection->stream = event.stream;
  connection->hold_timer.token = connection->gap_timer.token = token;
  io_->own(event.stream, token);
  counts_.connections.add();
  listener.connections.fetch_add(1, std::memory_order_relaxed);
  listener.opened(listener.open, listener.open_max);
  state_.all.opened(state_.all.open, state_.all.open_max);
  if (tls_ != nullptr && state_.options.tls_implicit) {
    begin_tls(*connection);
  } else {
    connection->session.start();
  }
  io_->read(event.stream);
  settle(*connection);
}

void SinkWorker::on_stream(void* self, const ring::Event& event) {
  auto& worker = *static_cast<SinkWorker*>(self);
  Connection* connection = worker.connections_.find(event.token.slot());
  if (connection == nullptr) return;
  switch (event.kind) {
    case ring::EventKind::received:
      worker.received(*connection, event.data);
      break;
    case ring::EventKind::ended:
      // Half closed is closed: an SMTP client that has finished sending wants nothing more.
      worker.close(*connection,
                   event.result == 0 ? ring::CloseMode::graceful : ring::CloseMode::abort);
      break;
    case ring::EventKind::sent:
      connection->sending = false;
      if (event.result < 0) {
        worker.close(*connection, ring::CloseMode::abort);
      } else {
        worker.settle(*connection);
      }
      break;
    case ring::EventKind::timer:
      worker.timed_out(*connection);
      break;
    case ring::EventKind::closed:
      worker.released(*connection, event.token.slot());
      break;
    default:
      break;
  }
}

void SinkWorker::begin_tls(Connection& connection) {
  connection.unsealed.swap(connection.session.out());
  connection.tls = std::make_unique<tls::Session>(tls_);
}

// A rule that holds a session back while TLS input is left holds back what follows, not that.
void SinkWorker::received_sealed(Connection& connection, Bytes data) {
  using Tls = tls::Session::Action;
  SinkSession& session = connection.session;
  while (!connection.closing) {
    const tls::Session::Step step = connection.tls->step(data);
    data = data.subspan(step.consumed);
    if (step.action == Tls::handshaken) {
      counts_.tls_sessions.add();
      if (connection.tls->facts().resumed) counts_.tls_resumed.add();
      session.secured();
      if (state_.options.tls_implicit) session.start();
    } else if (step.action == Tls::plaintext) {
      const size_t taken = session.receive(as_text(step.plaintext));
      const Bytes rest = step.plaintext.subspan(taken);
      if (rest.empty()) continue;
      connection.tls->unread(rest);
      if (session.want() != SinkSession::Want::hold) return;
      connection.paused = true;
      io_->pause(connection.stream, data);
      return;
    } else {
      return;  // all was read, or there is no more to come
    }
  }
}

void SinkWorker::received(Connection& connection, Bytes data) {
  if (connection.closing) return;
  if (connection.tls != nullptr) {
    received_sealed(connection, data);
    settle(connection);
    return;
  }
  const size_t taken = connection.session.receive(as_text(data));
  // Also when it is held already: what came in the turn in which the hold began is given back, too.
  if (connection.session.want() == SinkSession::Want::hold) {
    connection.paused = true;
    io_->pause(connection.stream, data.subspan(taken));
  }
  if (connection.session.want() == SinkSession::Want::tls) begin_tls(connection);
  settle(connection);
}

void SinkWorker::timed_out(Connection& connection) {
  if (connection.closing) return;
  if (connection.gap && !connection.gap_timer.armed()) {
    connection.gap = false;
    send_piece(connection);
  }
  if (connection.held && !connection.hold_timer.armed()) {
    connection.held = false;
    connection.session.resume();
    if (connection.paused && connection.session.want() == SinkSession::Want::more) {
      connection.paused = false;
      io_->read(connection.stream);
      if (connection.tls != nullptr) received_sealed(connection, {});
    }
  }
  settle(connection);
}

// Does what the session wants, as far as it can be done now.
void SinkWorker::settle(Connection& connection) {
  if (connection.closing) return;
  SinkSession& session = connection.session;
  if (session.want() == SinkSession::Want::reset) return close(connection, ring::CloseMode::abort);
  if (session.out().size() > kUnsentMax) return close(connection, ring::CloseMode::abort);
  if (session.want() == SinkSession::Want::hold && !connection.held) {
    connection.held = true;
    loop_->timers().arm(connection.hold_timer, io_->now() + Milliseconds{session.hold_ms()});
  }
  flush(connection);
  const bool all_out = !connection.sending && !connection.gap && !has_output(connection);
  if (session.want() == SinkSession::Want::close && all_out)
    close(connection, ring::CloseMode::graceful);
}

void SinkWorker::flush(Connection& connection) {
  if (connection.sending || connection.gap) return;
  if (connection.flight_sent < connection.flight.size()) {
    if (connection.split.gap_ms == 0) return send_piece(connection);
    connection.gap = true;
    loop_->timers().arm(connection.gap_timer, io_->now() + Milliseconds{connection.split.gap_ms});
    return;
  }
  if (!has_output(connection)) return;
  connection.flight.clear();
  connection.flight_sent = 0;
  take_output(connection);
  connection.split = connection.session.take_split();
  send_piece(connection);
}

bool SinkWorker::has_output(const Connection& connection) {
  const bool said = !const_cast<Connection&>(connection).session.out().empty();
  if (connection.tls == nullptr) return said;
  return !connection.unsealed.empty() || connection.tls->has_output() ||
         (said && connection.tls->handshaken());
}

void SinkWorker::take_output(Connection& connection) {
  std::string& out = connection.session.out();
  if (connection.tls == nullptr) {
    connection.flight.swap(out);
    return;
  }
  connection.flight.swap(connection.unsealed);
  if (connection.tls->handshaken() && !out.empty()) {
    connection.tls->write(as_bytes(out));
    out.clear();
  }
  connection.tls->take_output(connection.flight);
}

void SinkWorker::send_piece(Connection& connection) {
  const size_t left = connection.flight.size() - connection.flight_sent;
  const size_t length =
      connection.split.octets > 0 ? std::min<size_t>(connection.split.octets, left) : left;
  const iovec part{connection.flight.data() + connection.flight_sent, length};
  connection.flight_sent += length;
  connection.sending = true;
  io_->send(connection.stream, {&part, 1});
}

void SinkWorker::close(Connection& connection, ring::CloseMode mode) {
  if (connection.closing) return;
  connection.closing = true;
  loop_->timers().cancel(connection.hold_timer);
  loop_->timers().cancel(connection.gap_timer);
  connection.session.ended();
  connection.counts.open.fetch_sub(1, std::memory_order_relaxed);
  state_.all.open.fetch_sub(1, std::memory_order_relaxed);
  io_->close(connection.stream, mode);
}

void SinkWorker::released(Connection& connection, SlotHandle handle) {
  if (!connection.closing) close(connection, ring::CloseMode::abort);
  connections_.release(handle);
}

}  // namespace ringmta::tools
