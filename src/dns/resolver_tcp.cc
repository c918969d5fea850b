// SPDX-License-Identifier: GPL-3.0-or-later
// Questions over TCP (RFC 7766), after an answer that was cut or a guess too many. A connection
// carries one question at a time and is kept a while for the next: so a slow one never stands in
// front of another, whatever order a server answers in.
//
// Limits: tcp_connections_max; beyond it questions wait for a connection, within their own time.
#include <algorithm>

#include "resolver_impl.h"

namespace ringmta::dns {

void Resolver::Impl::ask_over_tcp(Query& query, uint8_t server) {
  close_attempts(query);
  query.state = Query::State::tcp;
  query.tcp_server = server;
  loop.timers().arm(query.timer, std::min(io.now() + options.tcp_timeout, query.deadline));
  if (server == Servers::kNone) {  // the list of servers has changed meanwhile
    query.state = Query::State::udp;
    attempt_failed(query, Failure::unreachable);
    return;
  }
  TcpConnection* connection = free_connection(server);
  if (connection == nullptr && connections.size() < connections.capacity()) {
    connection = open_connection(server);
    if (connection == nullptr) {
      query.state = Query::State::udp;
      attempt_failed(query, Failure::unreachable);
      return;
    }
  }
  if (connection == nullptr) {
    tcp_waiting.push_back(query);
  } else {
    assign(*connection, query);
  }
}

TcpConnection* Resolver::Impl::free_connection(uint8_t server) {
  TcpConnection* found = nullptr;
  connections.for_each([&](TcpConnection& connection, SlotHandle) {
    const bool free = !connection.busy && !connection.closing && !connection.sending;
    if (free && connection.server == server) found = &connection;
  });
  return found;
}

TcpConnection* Resolver::Impl::open_connection(uint8_t server) {
  SlotHandle slot;
  TcpConnection* connection = connections.take(slot);
  RINGMTA_ASSERT(connection != nullptr);
  const Result<ring::StreamId> stream =
      io.connect(servers.at(server).address, {}, dns_token(Part::connection, slot));
  if (!stream) {
    connections.release(slot);
    return nullptr;
  }
  connection->stream = *stream;
  connection->slot = slot;
  connection->server = server;
  connection->idle.token = dns_token(Part::connection, slot);
  return connection;
}

void Resolver::Impl::assign(TcpConnection& connection, Query& query) {
  connection.idle.link.unlink();
  connection.busy = true;
  connection.query = query.slot;
  query.connection = connection.slot;
  query.has_connection = true;
  if (connection.connected) send_question(connection);
}

void Resolver::Impl::send_question(TcpConnection& connection) {
  const Query& query = queries.get(connection.query);
  connection.id = static_cast<uint16_t>(io.secure_random());
  std::array<std::byte, kQueryOctetsMax> message;
  connection.edns =
      connection.server == Servers::kNone || servers.wants_edns(connection.server, io.now());
  const size_t length = write_query(question_of(query, connection.id, 0, connection.edns), message);
  connection.out.assign({static_cast<std::byte>(length >> 8), static_cast<std::byte>(length)});
  connection.out.insert(connection.out.end(), message.begin(),
                        message.begin() + static_cast<ptrdiff_t>(length));
  const iovec part{connection.out.data(), connection.out.size()};
  io.send(connection.stream, {&part, 1});
  connection.sending = true;
  ++counters.tcp_sent;
}

// The question is given up: its answer may still come, so the connection is of no use to others.
void Resolver::Impl::leave_connection(Query& query) {
  query.tcp_link.unlink();
  if (!query.has_connection) return;
  query.has_connection = false;
  TcpConnection& connection = connections.get(query.connection);
  connection.busy = false;
  close(connection, ring::CloseMode::abort);
}

// ---- what happens on a connection

void Resolver::Impl::on_stream(TcpConnection& connection, const ring::Event& event) {
  switch (event.kind) {
    case ring::EventKind::connected:
      if (event.result < 0) {
        lose(connection);
        return;
      }
      connection.connected = true;
      io.read(connection.stream);
      if (connection.busy) send_question(connection);
      return;
    case ring::EventKind::received:
      if (!connection.closing) on_octets(connection, event.data);
      return;
    case ring::EventKind::sent:
      connection.sending = false;
      if (event.result < 0) {
        lose(connection);
      } else if (!connection.busy) {
        offer(connection);
      }
      return;
    case ring::EventKind::ended:
      lose(connection);
      return;
    case ring::EventKind::timer:
      if (!connection.busy) close(connection, ring::CloseMode::graceful);
      return;
    case ring::EventKind::closed:
      connection.idle.link.unlink();
      connections.release(connection.slot);
      serve_tcp_waiting();
      return;
    default:
      return;
  }
}

void Resolver::Impl::on_octets(TcpConnection& connection, Bytes data) {
  // One question, one answer: more than that was not asked for.
  const auto unasked = [&] {
    ++counters.stray;
    lose(connection);
  };
  if (!connection.busy) return unasked();
  std::vector<std::byte>& in = connection.in;
  in.insert(in.end(), data.begin(), data.end());
  if (in.size() < 2) return;
  const size_t length = static_cast<size_t>(in[0]) << 8 | static_cast<size_t>(in[1]);
  if (in.size() < 2 + length) return;
  if (in.size() > 2 + length) return unasked();
  on_tcp_message(connection, Bytes(in).subspan(2));
}

void Resolver::Impl::on_tcp_message(TcpConnection& connection, Bytes message) {
  Query& query = queries.get(connection.query);
  const Verdict verdict =
      read_answer(message, question_of(query, connection.id, 0, connection.edns), true, answer);
  connection.in.clear();
  if (verdict != Verdict::good) {
    ++counters.malformed;
    leave_connection(query);
    query.state = Query::State::udp;
    attempt_failed(query, Failure::malformed);
    return;
  }
  const uint8_t server = connection.server;
  servers.said_something(server);
  connection.used_before = true;
  connection.busy = false;
  query.has_connection = false;
  on_answer(query, server, connection.edns);
  offer(connection);
}

// A connection without a question: one that waits takes it, or it is kept for a while.
void Resolver::Impl::offer(TcpConnection& connection) {
  if (connection.busy || connection.sending || connection.closing) return;
  if (connection.server == Servers::kNone) {
    close(connection, ring::CloseMode::graceful);
    return;
  }
  for (Query* query = tcp_waiting.front(); query != nullptr; query = tcp_waiting.next(*query)) {
    if (query->tcp_server != connection.server) continue;
    query->tcp_link.unlink();
    assign(connection, *query);
    return;
  }
  loop.timers().arm(connection.idle, io.now() + options.tcp_idle);
}

// Refused, reset, ended or talking nonsense.
void Resolver::Impl::lose(TcpConnection& connection) {
  if (connection.closing) return;
  const bool busy = connection.busy;
  const bool kept_too_long = connection.used_before;
  close(connection, ring::CloseMode::abort);
  if (!busy) return;
  Query& query = queries.get(connection.query);
  leave_connection(query);
  if (kept_too_long) {  // the server closed while we sent: another connection will do
    ask_over_tcp(query, query.tcp_server);
    return;
  }
  servers.was_silent(query.tcp_server, io.now());
  query.state = Query::State::udp;
  attempt_failed(query, Failure::unreachable);
}

void Resolver::Impl::close(TcpConnection& connection, ring::CloseMode mode) {
  if (connection.closing) return;
  connection.closing = true;
  connection.idle.link.unlink();
  io.close(connection.stream, mode);
}

// A connection is gone: there is room for another.
void Resolver::Impl::serve_tcp_waiting() {
  Query* query = tcp_waiting.front();
  if (query == nullptr || connections.size() >= connections.capacity()) return;
  query->tcp_link.unlink();
  ask_over_tcp(*query, query->tcp_server);
}

}  // namespace ringmta::dns
