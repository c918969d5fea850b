// SPDX-License-Identifier: GPL-3.0-or-later
// Questions over UDP: from which port, with which id, and which datagram answers which question.
//
// The insight: opening a socket for each question would cost more than the question (four system
// calls, two of them outside the ring), keeping one socket for ever would leave an attacker only
// the id to guess. So each server has sixteen sockets, chosen from at random, and each is replaced
// after 64 questions or ten seconds: an attacker who somehow learned a port has little time to use
// it.
#include <algorithm>

#include "resolver_impl.h"

namespace ringmta::dns {

bool Resolver::Impl::ask_over_udp(Query& query, uint8_t server) {
  if (query.attempts_used >= kAttemptsMax) return false;
  UdpSocket* socket = socket_for(server);
  if (socket == nullptr) return false;
  const uint8_t number = query.attempts_used++;
  Attempt& attempt = query.attempts[number];
  attempt = {};
  attempt.socket = socket->slot;
  attempt.server = server;
  attempt.sent = io.now();
  attempt.edns = servers.wants_edns(server, io.now());
  attempt.open = true;
  attempt.capitals = options.random_capitals ? io.secure_random() : 0;
  const auto taken = [&](uint16_t id) {
    return std::any_of(socket->outstanding.begin(), socket->outstanding.end(),
                       [&](const UdpSocket::Outstanding& other) { return other.id == id; });
  };
  do {
    attempt.id = static_cast<uint16_t>(io.secure_random());
  } while (taken(attempt.id));
  socket->outstanding.push_back({query.slot, attempt.id, number});
  ++socket->uses;

  std::array<std::byte, kQueryOctetsMax> message;
  const size_t length =
      write_query(question_of(query, attempt.id, attempt.capitals, attempt.edns), message);
  io.send_datagram(socket->id, Bytes(message).first(length));
  ++counters.udp_sent;

  Milliseconds patience = options.attempt_timeout * (int64_t{1} << number);
  patience = std::min(patience, options.attempt_timeout_max);
  loop.timers().arm(query.timer, std::min(io.now() + patience, query.deadline));
  return true;
}

// ---- sockets

UdpSocket* Resolver::Impl::socket_for(uint8_t server) {
  SlotHandle& place = pool[server][io.secure_random() % kSocketsPerServer].handle;
  UdpSocket* kept = sockets.find(place);
  if (kept != nullptr && kept->retired) kept = nullptr;
  const bool good =
      kept != nullptr && kept->uses < kUsesPerSocket && io.now() - kept->opened < kSocketAgeMax;
  if (good) return kept;
  UdpSocket* opened = open_socket(server);
  if (opened == nullptr) return kept;  // no descriptor is left: a worn one is better than none
  if (kept != nullptr) retire(*kept);
  place = opened->slot;
  return opened;
}

UdpSocket* Resolver::Impl::open_socket(uint8_t server) {
  SlotHandle slot;
  UdpSocket* socket = sockets.take(slot);
  const Result<ring::DatagramId> opened =
      io.open_datagram({.peer = &servers.at(server).address}, dns_token(Part::socket, slot));
  if (!opened) {
    sockets.release(slot);
    return nullptr;
  }
  socket->id = *opened;
  socket->slot = slot;
  socket->server = server;
  socket->opened = io.now();
  return socket;
}

void Resolver::Impl::retire(UdpSocket& socket) {
  socket.retired = true;
  close_if_done(socket);
}

void Resolver::Impl::close_if_done(UdpSocket& socket) {
  if (!socket.retired || !socket.outstanding.empty()) return;
  io.close_datagram(socket.id);
  sockets.release(socket.slot);
}

// ---- attempts

void Resolver::Impl::close_attempt(Query& query, uint8_t number) {
  Attempt& attempt = query.attempts[number];
  if (!attempt.open) return;
  attempt.open = false;
  UdpSocket& socket = sockets.get(attempt.socket);
  const auto entry =
      std::find_if(socket.outstanding.begin(), socket.outstanding.end(),
                   [&](const UdpSocket::Outstanding& other) { return other.id == attempt.id; });
  RINGMTA_ASSERT(entry != socket.outstanding.end());
  *entry = socket.outstanding.back();
  socket.outstanding.pop_back();
  close_if_done(socket);
}

void Resolver::Impl::close_attempts(Query& query) {
  for (uint8_t number = 0; number < query.attempts_used; ++number) close_attempt(query, number);
}

bool Resolver::Impl::has_open_attempts(const Query& query) const {
  return std::any_of(query.attempts.begin(), query.attempts.end(),
                     [](const Attempt& attempt) { return attempt.open; });
}

// ---- what arrives

void Resolver::Impl::on_datagram(UdpSocket& socket, const ring::Event& event) {
  if (event.result < 0) {
    on_socket_error(socket);
    return;
  }
  const std::optional<uint16_t> id = message_id(event.data);
  const auto entry =
      std::find_if(socket.outstanding.begin(), socket.outstanding.end(),
                   [&](const UdpSocket::Outstanding& other) { return id && other.id == *id; });
  if (entry == socket.outstanding.end()) {
    on_stray(socket);
    return;
  }
  Query& query = queries.get(entry->query);
  const uint8_t number = entry->attempt;
  const Attempt attempt = query.attempts[number];
  const Question question = question_of(query, attempt.id, attempt.capitals, attempt.edns);
  Verdict verdict = read_answer(event.data, question, false, answer);
  if (verdict == Verdict::stray && attempt.capitals != 0 &&
      read_answer(event.data, question, true, answer) == Verdict::good) {
    // Right but for the capitals: a server that does not keep them, or a guess. TCP will tell.
    ask_over_tcp(query, attempt.server);
    return;
  }
  if (verdict == Verdict::stray) {
    on_stray(socket);
    return;
  }
  close_attempt(query, number);  // may close the socket
  if (verdict == Verdict::malformed) {
    ++counters.malformed;
    servers.said_something(attempt.server);
    attempt_failed(query, Failure::malformed);
    return;
  }
  servers.answered(attempt.server, (io.now().ns - attempt.sent.ns) / 1000);
  mind_pace(query, number, attempt.server);
  on_answer(query, attempt.server, attempt.edns);
}

void Resolver::Impl::mind_pace(const Query& query, uint8_t answered, uint8_t server) {
  pace.answered(query.started);
  const auto was_lost = [&](const Attempt& attempt) {
    return attempt.open && attempt.server == server;
  };
  if (std::any_of(query.attempts.begin(), query.attempts.begin() + answered, was_lost)) {
    pace.lost(io.now());
  }
}

// An ICMP error: the server's host says that nobody listens there, or a router that there is no
// way.
void Resolver::Impl::on_socket_error(UdpSocket& socket) {
  const uint8_t server = socket.server;
  servers.was_silent(server, io.now());
  const std::vector<UdpSocket::Outstanding> affected = socket.outstanding;
  retire(socket);
  for (const UdpSocket::Outstanding& entry : affected) {
    Query& query = queries.get(entry.query);
    if (!query.attempts[entry.attempt].open) continue;  // it had two attempts on this socket
    close_attempt(query, entry.attempt);
    attempt_failed(query, Failure::unreachable);
  }
}

// Late, doubled, or a forger's guess. Too many of them on one port, and its questions go by TCP.
void Resolver::Impl::on_stray(UdpSocket& socket) {
  ++counters.stray;
  if (++socket.stray < kStrayMax || socket.retired) return;
  ++counters.suspected;
  const std::vector<UdpSocket::Outstanding> affected = socket.outstanding;
  retire(socket);
  for (const UdpSocket::Outstanding& entry : affected) {
    Query& query = queries.get(entry.query);
    if (!query.attempts[entry.attempt].open) continue;  // it had two attempts on this socket
    ask_over_tcp(query, query.attempts[entry.attempt].server);
  }
}

}  // namespace ringmta::dns
