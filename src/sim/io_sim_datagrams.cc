// SPDX-License-Identifier: GPL-3.0-or-later
// Datagrams between simulated Ios: each with a latency of its own (so they overtake each other),
// lost or doubled by the World's options.
//
// As on Linux, a socket that has a peer takes datagrams of that peer only; a datagram nobody takes
// is answered by an ICMP error, of which only a sender with a peer hears; a socket whose owner does
// not keep up loses what comes. Not simulated: sockets bound to a wildcard address, shared ports.
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "io_sim.h"

namespace ringmta::ring {
namespace {

constexpr uint32_t kWaitingMax = 256;  // a socket's receive buffer, in datagrams

SocketAddress local_for(const DatagramOptions& options) {
  if (options.local != nullptr) return *options.local;
  const bool inet6 = options.peer->family() == AF_INET6;
  return *parse_socket_address(inet6 ? "[::1]:0" : "127.0.0.1:0", 0);
}

}  // namespace

Result<DatagramId> Io::open_datagram(const DatagramOptions& options, Token token) {
  RINGMTA_ASSERT(options.local != nullptr || options.peer != nullptr);
  Impl& impl = *impl_;
  if (impl.dead) return fail("this shard has crashed", EIO);
  SocketAddress local = local_for(options);
  const auto taken = [&](const SocketAddress& address) {
    return std::any_of(impl.world.ios.begin(), impl.world.ios.end(), [&](Impl* io) {
      bool found = false;
      io->datagrams.for_each(
          [&](const Datagram& other, SlotHandle) { found = found || other.local == address; });
      return found;
    });
  };
  if (local.port() == 0) {
    do {
      local.set_port(static_cast<uint16_t>(32768 + impl.world.random.below(28232)));
    } while (taken(local));
  } else if (taken(local)) {
    return fail_errno("no datagram socket on " + local.text(), EADDRINUSE);
  }
  SlotHandle slot;
  Datagram* socket = impl.datagrams.take(slot, token);
  if (socket == nullptr) {
    return fail("too many open datagram sockets on this shard (datagrams_max)", EMFILE);
  }
  socket->local = local;
  if (options.peer != nullptr) socket->peer = *options.peer;
  return DatagramId{slot.index, slot.generation};
}

SocketAddress Io::local(DatagramId id) const {
  const Datagram* socket = impl_->datagram(id);
  return socket == nullptr ? SocketAddress{} : socket->local;
}

uint32_t Io::datagrams_open() const { return impl_->datagrams.size(); }

void Io::close_datagram(DatagramId id) {
  if (impl_->datagram(id) == nullptr) return;
  impl_->datagrams.release({id.index, id.generation});
}

void Io::send_datagram(DatagramId id, Bytes data, const SocketAddress* to) {
  const Datagram* socket = impl_->datagram(id);
  if (socket == nullptr) return;
  RINGMTA_ASSERT(data.size() <= kDatagramOctetsMax);
  ++counters_.datagrams_sent;
  if (to == nullptr && socket->peer.length == 0) {
    impl_->on_datagram_error({id.index, id.generation}, -EDESTADDRREQ);
    return;
  }
  impl_->world.transmit_datagram(socket->local, to != nullptr ? *to : socket->peer, data);
}

void Io::Impl::on_datagram(SlotHandle slot, const SocketAddress& from, Bytes data) {
  Datagram& socket = datagrams.get(slot);
  if (socket.waiting >= kWaitingMax) return;
  ++socket.waiting;
  DatagramArrival arrival{slot, static_cast<int32_t>(data.size()), {}};
  const size_t kept = std::min<size_t>(data.size(), options.receive_buffer_size);
  arrival.data.resize(sizeof from + kept);
  std::memcpy(arrival.data.data(), &from, sizeof from);
  if (kept > 0) std::memcpy(arrival.data.data() + sizeof from, data.data(), kept);
  datagrams_arrived.push_back(std::move(arrival));
}

void Io::Impl::on_datagram_error(SlotHandle slot, int32_t result) {
  ++datagrams.get(slot).waiting;
  datagrams_arrived.push_back({slot, result, {}});
}

void Io::Impl::tell_datagrams() {
  size_t told = 0;
  for (; told < datagrams_arrived.size() && !overflows(); ++told) {
    DatagramArrival& arrival = datagrams_arrived[told];
    Datagram* socket = datagrams.find(arrival.socket);
    if (socket == nullptr) continue;  // closed meanwhile
    --socket->waiting;
    Bytes data;
    if (arrival.result < 0) {
      ++owner->counters_.datagrams_failed;
    } else {
      ++owner->counters_.datagrams_received;
      spent.push_back(std::move(arrival.data));
      data = Bytes(spent.back()).subspan(sizeof(SocketAddress));
    }
    events.push_back({socket->token, data, {}, arrival.result, EventKind::datagram});
  }
  datagrams_arrived.erase(datagrams_arrived.begin(),
                          datagrams_arrived.begin() + static_cast<ptrdiff_t>(told));
}

SocketAddress Io::sender(const Event& event) const {
  SocketAddress from;
  std::memcpy(&from, event.data.data() - sizeof from, sizeof from);
  return from;
}

}  // namespace ringmta::ring

namespace ringmta::sim {

void World::Impl::transmit_datagram(const SocketAddress& from, const SocketAddress& to,
                                    Bytes data) {
  const NetworkOptions& wire = options.network;
  const auto strikes = [&](uint64_t one_in) { return one_in > 0 && random.below(one_in) == 0; };
  if (strikes(wire.datagram_loss_one_in)) {
    ++faults_struck["a datagram lost"];
    return;
  }
  const int copies = strikes(wire.datagram_double_one_in) ? 2 : 1;
  if (copies == 2) ++faults_struck["a datagram doubled"];
  for (int copy = 0; copy < copies; ++copy) {
    schedule(after_latency(wire.latency_us_min, wire.latency_us_max),
             [this, from, to, octets = std::vector<std::byte>(data.begin(), data.end())] {
               arrive_datagram(from, to, octets);
             });
  }
}

void World::Impl::arrive_datagram(const SocketAddress& from, const SocketAddress& to, Bytes data) {
  const auto listed = [&](const std::vector<SocketAddress>& list) {
    return std::find(list.begin(), list.end(), to) != list.end();
  };
  if (listed(unreachable)) return;
  if (listed(refused)) return bounce_datagram(from, to);
  ring::Io::Impl* taker = nullptr;
  SlotHandle slot{};
  for (ring::Io::Impl* io : ios) {
    io->datagrams.for_each([&](const ring::Datagram& socket, SlotHandle handle) {
      if (!(socket.local == to)) return;
      if (socket.peer.length > 0 && !(socket.peer == from)) return;
      taker = io;
      slot = handle;
    });
  }
  if (taker == nullptr) return bounce_datagram(from, to);
  taker->on_datagram(slot, from, data);
}

// ICMP "port unreachable", on its way back to the socket that sent.
void World::Impl::bounce_datagram(const SocketAddress& from, const SocketAddress& to) {
  const NetworkOptions& wire = options.network;
  schedule(after_latency(wire.latency_us_min, wire.latency_us_max), [this, from, to] {
    for (ring::Io::Impl* io : ios) {
      io->datagrams.for_each([&](const ring::Datagram& socket, SlotHandle handle) {
        if (socket.local == from && socket.peer == to) io->on_datagram_error(handle, -ECONNREFUSED);
      });
    }
  });
}

}  // namespace ringmta::sim
