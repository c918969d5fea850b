// SPDX-License-Identifier: GPL-3.0-or-later
// Listeners and streams of a simulated Io.
//
// The octets of a send are read from the owner's memory only as the peer's window takes them, so an
// owner that frees or changes them too early is found out, as it would be with the kernel.
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "io_sim.h"

namespace ringmta::ring {
namespace {

bool is_wildcard(const SocketAddress& address) {
  const std::string host = address.host_text();
  return host == "0.0.0.0" || host == "::";
}

bool reaches(const SocketAddress& target, const SocketAddress& listening) {
  if (target == listening) return true;
  return target.family() == listening.family() && target.port() == listening.port() &&
         is_wildcard(listening);
}

SocketAddress own_address(const SocketAddress& peer, const ConnectOptions& options) {
  if (options.source != nullptr) return *options.source;
  if (peer.family() == AF_UNIX) {
    SocketAddress unnamed;
    unnamed.storage.ss_family = AF_UNIX;
    unnamed.length = sizeof unnamed.storage.ss_family;
    return unnamed;
  }
  return *parse_socket_address(peer.family() == AF_INET6 ? "[::1]:0" : "127.0.0.1:0", 0);
}

}  // namespace

// ---- listeners

Result<ListenerId> Io::listen(const SocketAddress& address, const ListenOptions& options,
                              Token token) {
  Listener listener;
  listener.token = token;
  const bool any_port = address.family() != AF_UNIX && address.port() == 0;
  listener.address = any_port ? impl_->world.unused_port(address) : address;
  listener.backlog_max = static_cast<size_t>(std::max(options.backlog, 1));
  listener.reuse_port = options.reuse_port && address.family() != AF_UNIX;
  listener.open = !impl_->dead;
  listener.wanted = true;
  for (const Impl* io : impl_->world.ios) {
    for (const Listener& other : io->listeners) {
      if (!other.open || other.address != listener.address) continue;
      if (!other.reuse_port || !listener.reuse_port) {
        return fail_errno("cannot listen on " + address.text(), EADDRINUSE);
      }
    }
  }
  impl_->listeners.push_back(std::move(listener));
  return ListenerId{static_cast<uint32_t>(impl_->listeners.size() - 1)};
}

SocketAddress Io::listening_on(ListenerId listener) const {
  return impl_->listeners.at(listener.index).address;
}

void Io::pause_listening(ListenerId listener) {
  impl_->listeners.at(listener.index).wanted = false;
}

void Io::resume_listening(ListenerId listener) {
  impl_->listeners.at(listener.index).wanted = true;
}

void Io::stop_listening(ListenerId listener) {
  impl_->close_listener(impl_->listeners.at(listener.index));
}

void Io::Impl::close_listener(Listener& listener) {
  listener.open = false;
  for (const sim::ConnectionPointer& waiting : listener.backlog) {
    waiting->sides[1].gone = true;
    world.transmit_reset(waiting, 0);
  }
  listener.backlog.clear();
}

Listener* Io::Impl::listener_for(const SocketAddress& target, bool& full) {
  for (Listener& listener : listeners) {
    if (!listener.open || !reaches(target, listener.address)) continue;
    if (listener.backlog.size() < listener.backlog_max) return &listener;
    full = true;
  }
  return nullptr;
}

bool Io::Impl::accepts(const Listener& listener) const {
  return listener.open && listener.wanted && !listener.backlog.empty() &&
         streams.size() < streams.capacity();
}

void Io::Impl::accept_waiting() {
  for (Listener& listener : listeners) {
    while (accepts(listener)) {
      Stream* made = new_stream(listener.backlog.front(), 1, listener.token);
      listener.backlog.pop_front();
      queued.push_back(
          {listener.token, {}, {made->slot.index, made->slot.generation}, 0, EventKind::accepted});
    }
  }
}

// ---- streams

Stream* Io::Impl::new_stream(const sim::ConnectionPointer& connection, size_t side, Token token) {
  SlotHandle slot;
  Stream* made = streams.take(slot, token);
  if (made == nullptr) return nullptr;
  made->slot = slot;
  made->connection = connection;
  made->side = side;
  connection->sides[side].io = this;
  connection->sides[side].slot = slot;
  return made;
}

void Io::own(StreamId id, Token token) {
  if (Stream* stream = impl_->stream(id); stream != nullptr) stream->token = token;
}

Result<StreamId> Io::connect(const SocketAddress& peer, const ConnectOptions& options,
                             Token token) {
  Impl& impl = *impl_;
  if (impl.dead) return fail("this shard has crashed", EIO);
  auto connection = std::make_shared<sim::Connection>();
  Stream* stream = impl.new_stream(connection, 0, token);
  if (stream == nullptr) {
    return fail("too many open connections on this shard (streams_max)", EMFILE);
  }
  stream->connecting = true;
  stream->mine().address = impl.world.unused_port(own_address(peer, options));
  stream->theirs().address = peer;
  const sim::NetworkOptions& wire = impl.world.options.network;
  const Monotonic deadline = impl.world.now + wire.connect_timeout;
  impl.world.schedule(
      impl.world.after_latency(wire.latency_us_min, wire.latency_us_max),
      [&world = impl.world, connection, deadline] { world.attempt(connection, deadline); });
  return StreamId{stream->slot.index, stream->slot.generation};
}

void Io::Impl::on_connected(SlotHandle slot, int32_t result) {
  Stream& stream = streams.get(slot);
  stream.connect_done = true;
  stream.connect_result = result;
  make_ready(stream);
}

SocketAddress Io::peer(StreamId id) const {
  Stream* stream = impl_->stream(id);
  return stream == nullptr ? SocketAddress{} : stream->theirs().address;
}

SocketAddress Io::local(StreamId id) const {
  Stream* stream = impl_->stream(id);
  return stream == nullptr ? SocketAddress{} : stream->mine().address;
}

uint32_t Io::streams_open() const { return impl_->streams.size(); }

// ---- receiving

void Io::read(StreamId id) {
  Stream* stream = impl_->stream(id);
  if (stream == nullptr || stream->closing || stream->wants_receive) return;
  stream->wants_receive = true;
  impl_->make_ready(*stream);
}

bool Io::has_unread(StreamId id) const {
  Stream* stream = impl_->stream(id);
  if (stream == nullptr || stream->closing) return false;
  RINGMTA_ASSERT(!stream->wants_receive);
  return !stream->mine().arrived.empty();
}

void Io::pause(StreamId id, Bytes unread) {
  Stream* stream = impl_->stream(id);
  if (stream == nullptr || stream->closing) return;
  stream->wants_receive = false;
  stream->held.insert(stream->held.end(), unread.begin(), unread.end());
}

void Io::Impl::on_arrival(SlotHandle slot) {
  Stream& stream = streams.get(slot);
  if (stream.closing) {  // a lingering stream takes what still comes, for nobody
    while (!stream.mine().arrived.empty()) {
      take_arrived(stream, stream.mine().arrived.front().size());
    }
  }
  if (stream.closing || stream.wants_receive) make_ready(stream);
}

// The first `octets` of the first segment leave the window, which lets the peer send on.
void Io::Impl::take_arrived(Stream& stream, size_t octets) {
  sim::Side& side = stream.mine();
  std::vector<std::byte>& segment = side.arrived.front();
  side.in_window -= octets;
  if (octets == segment.size()) {
    side.arrived.pop_front();
  } else {
    segment.erase(segment.begin(), segment.begin() + static_cast<ptrdiff_t>(octets));
  }
  sim::Side& sender = stream.theirs();
  if (sender.io != nullptr) sender.io->on_room(sender.slot);
}

void Io::Impl::on_reset(SlotHandle slot) {
  Stream& stream = streams.get(slot);
  if (stream.sending && !stream.send_done) finish_send(stream, stream.mine().error);
  make_ready(stream);
}

// ---- sending

void Io::send(StreamId id, std::span<const iovec> parts) {
  Stream* stream = impl_->stream(id);
  if (stream == nullptr || stream->closing) return;
  RINGMTA_ASSERT(!stream->sending && !stream->connecting);
  RINGMTA_ASSERT(!parts.empty() && parts.size() <= kSendPartsMax);
  stream->sending = true;
  stream->send_first = 0;
  stream->send_parts = static_cast<uint32_t>(parts.size());
  std::copy(parts.begin(), parts.end(), stream->parts);
  ++counters_.sends;
  if (stream->failed || stream->shut_down || stream->mine().error != 0) {
    impl_->finish_send(*stream, -EPIPE);
    return;
  }
  impl_->pump(*stream);
}

void Io::Impl::on_room(SlotHandle slot) {
  Stream& stream = streams.get(slot);
  if (stream.sending && !stream.send_done) pump(stream);
}

// As much of the send in flight as the peer's window takes, cut into segments.
void Io::Impl::pump(Stream& stream) {
  const sim::NetworkOptions& wire = world.options.network;
  sim::Side& side = stream.theirs();
  while (stream.send_first < stream.send_parts) {
    if (side.in_window >= wire.window_octets) {
      ++owner->counters_.short_sends;
      ++world.faults_struck["a send ends short"];
      return;
    }
    uint64_t room = 1 + world.random.below(wire.segment_octets_max);
    room = std::min(room, wire.window_octets - side.in_window);
    std::vector<std::byte> segment;
    while (room > 0 && stream.send_first < stream.send_parts) {
      iovec& part = stream.parts[stream.send_first];
      const auto* from = static_cast<const std::byte*>(part.iov_base);
      const size_t length = std::min<size_t>(room, part.iov_len);
      segment.insert(segment.end(), from, from + length);
      room -= length;
      part.iov_base = static_cast<std::byte*>(part.iov_base) + length;
      part.iov_len -= length;
      if (part.iov_len == 0) ++stream.send_first;
    }
    owner->counters_.sent_octets += segment.size();
    if (!segment.empty()) {
      world.transmit(stream.connection, 1 - stream.side, std::move(segment));
    }
  }
  finish_send(stream, 0);
}

void Io::Impl::finish_send(Stream& stream, int32_t result) {
  stream.send_done = true;
  stream.send_result = result;
  make_ready(stream);
}

// ---- closing

void Io::close(StreamId id, CloseMode mode) {
  Stream* stream = impl_->stream(id);
  if (stream == nullptr || stream->gone) return;
  Impl& impl = *impl_;
  if (stream->closing) {
    if (mode == CloseMode::abort) impl.abort_stream(*stream);
    return;
  }
  stream->closing = true;
  stream->wants_receive = false;
  stream->held.clear();
  const bool broken = stream->failed || stream->mine().error != 0;
  if (mode == CloseMode::abort || stream->connecting || broken) {
    impl.abort_stream(*stream);
    return;
  }
  const StreamId name{stream->slot.index, stream->slot.generation};
  impl.world.schedule(now() + impl.options.linger_max,
                      [&world = impl.world, io_id = impl.id, name] {
                        Impl* io = world.find_io(io_id);
                        if (io == nullptr || io->dead) return;
                        Stream* lingering = io->stream(name);
                        if (lingering != nullptr && !lingering->gone) {
                          io->abort_stream(*lingering);
                        }
                      });
  impl.on_arrival(stream->slot);
}

// Called whenever something about a closing stream has changed.
void Io::Impl::advance_close(Stream& stream) {
  if (stream.aborting) return;
  const sim::Side& side = stream.mine();
  if (side.error == 0) {
    if (stream.sending) return;
    if (!stream.shut_down) {
      stream.shut_down = true;
      world.transmit_end(stream.connection, 1 - stream.side);
    }
    if (!side.end_arrived) return;
  } else if (stream.sending && !stream.send_done) {
    finish_send(stream, side.error);
    return;
  }
  leave_connection(stream, false);
  stream.gone = true;
}

// The peer sees it at once; its owner when the kernel has given up what was in flight.
void Io::Impl::abort_stream(Stream& stream) {
  if (stream.aborting) return;
  leave_connection(stream, false);
  const int64_t late_us = world.options.network.cancel_us_max;
  if (late_us == 0) {
    cancelled(stream);
    return;
  }
  stream.aborting = true;
  if (stream.sending && !stream.send_done)
    ++world.faults_struck["a send in flight is cancelled late"];
  world.schedule(world.after_latency(0, late_us), [&in = world, io_id = id, slot = stream.slot] {
    Impl* io = in.find_io(io_id);
    if (io != nullptr && !io->dead) io->cancelled(io->streams.get(slot));
  });
}

// Until now a send in flight had its memory: it is looked at, so that freeing it is found out.
void Io::Impl::cancelled(Stream& stream) {
  stream.aborting = false;
  if (stream.sending && !stream.send_done) {
    for (uint32_t part = stream.send_first; part < stream.send_parts; ++part) {
      const iovec& left = stream.parts[part];
      world.note(std::hash<std::string_view>{}({static_cast<char*>(left.iov_base), left.iov_len}));
    }
    const bool was_done = world.options.network.cancel_us_max > 0 && world.random.below(4) == 0;
    finish_send(stream, was_done ? 0 : -ECANCELED);
  }
  stream.gone = true;
  make_ready(stream);
}

void Io::Impl::half_close(StreamId name) {
  Stream* half = stream(name);
  if (half == nullptr || half->closing || half->shut_down || half->mine().error != 0) return;
  RINGMTA_ASSERT(!half->sending && !half->connecting);
  half->shut_down = true;
  ++world.faults_struck["a half-closed connection"];
  world.transmit_end(half->connection, 1 - half->side);
}

// As Linux closes a socket: over octets nobody has read it resets, otherwise it ends after what was
// sent.
void Io::Impl::leave_connection(Stream& stream, bool crashed) {
  sim::Side& side = stream.mine();
  const bool reached = !stream.failed && (stream.side == 1 || !stream.connecting ||
                                          (stream.connect_result == 0 && stream.connect_done));
  if (reached && side.error == 0) {
    if (crashed || !side.arrived.empty()) {
      world.transmit_reset(stream.connection, 1 - stream.side);
    } else if (!stream.shut_down) {
      stream.shut_down = true;
      world.transmit_end(stream.connection, 1 - stream.side);
    }
  }
  side.gone = true;
  side.io = nullptr;
  side.arrived.clear();
}

}  // namespace ringmta::ring
