// SPDX-License-Identifier: GPL-3.0-or-later
// What happens between two ends: attempts to connect, segments that take their time, ends, resets.
//
// The insight: everything on its way to one side arrives in the order it was sent, so one "last
// arrival" per direction is all the state a wire needs.
#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>

#include "io_sim.h"
#include "world_impl.h"

namespace ringmta::sim {
namespace {

constexpr Milliseconds kConnectRetry = seconds(1);  // as TCP repeats a SYN

bool listed(const std::vector<SocketAddress>& list, const SocketAddress& peer) {
  return std::find(list.begin(), list.end(), peer) != list.end();
}

}  // namespace

Monotonic World::Impl::arrival_at(Side& side) {
  const NetworkOptions& wire = options.network;
  const Monotonic at = after_latency(wire.latency_us_min, wire.latency_us_max);
  side.last_arrival = std::max(side.last_arrival, at);
  return side.last_arrival;
}

// Tries to reach the address of side 1 until it is decided or `deadline` has come.
void World::Impl::attempt(const ConnectionPointer& connection, Monotonic deadline) {
  Side& caller = connection->sides[0];
  Side& called = connection->sides[1];
  if (caller.gone) return;
  if (listed(refused, called.address)) return fail_attempt(caller, -ECONNREFUSED);
  if (listed(unroutable, called.address)) return fail_attempt(caller, -ENETUNREACH);
  std::vector<ring::Listener*> candidates;
  bool somebody = listed(unreachable, called.address);
  if (!somebody) {
    for (ring::Io::Impl* io : ios) {
      bool full = false;
      if (ring::Listener* listener = io->listener_for(called.address, full)) {
        candidates.push_back(listener);
      }
      somebody = somebody || full;
    }
  }
  if (candidates.empty()) {
    if (!somebody) return fail_attempt(caller, -ECONNREFUSED);
    if (now >= deadline) return fail_attempt(caller, -ETIMEDOUT);
    schedule(std::min(deadline, now + kConnectRetry),
             [this, connection, deadline] { attempt(connection, deadline); });
    return;
  }
  const auto reset = std::find_if(resets.begin(), resets.end(), [&](const auto& wanted) {
    return wanted.first == called.address;
  });
  if (reset != resets.end()) {
    connection->octets_to_reset = reset->second;
    resets.erase(reset);
  }
  candidates[random.below(candidates.size())]->backlog.push_back(connection);
  caller.io->on_connected(caller.slot, 0);
}

void World::Impl::fail_attempt(const Side& side, int32_t result) {
  side.io->on_connected(side.slot, result);
}

void World::Impl::transmit(const ConnectionPointer& connection, size_t to,
                           std::vector<std::byte> data) {
  Side& side = connection->sides[to];
  side.in_window += data.size();
  schedule(arrival_at(side), [this, connection, to, octets = std::move(data)]() mutable {
    arrive(connection, to, std::move(octets));
  });
}

void World::Impl::arrive(const ConnectionPointer& connection, size_t to,
                         std::vector<std::byte> data) {
  Side& side = connection->sides[to];
  if (side.error != 0) return;
  const uint64_t one_in = options.network.reset_one_in;
  const bool struck = one_in > 0 && random.below(one_in) == 0;
  if (struck) ++faults_struck["a connection reset"];
  const bool enough = connection->octets_to_reset <= data.size();
  if (enough) data.resize(connection->octets_to_reset);
  if (connection->octets_to_reset != UINT64_MAX) connection->octets_to_reset -= data.size();
  if (!struck && side.gone && !enough) {
    transmit_reset(connection, 1 - to);
    return;
  }
  if (!struck && !data.empty()) {
    side.arrived.push_back(std::move(data));
    if (side.io != nullptr) side.io->on_arrival(side.slot);
  }
  if (struck || enough) {
    reset(connection->sides[0]);
    reset(connection->sides[1]);
  }
}

void World::Impl::transmit_end(const ConnectionPointer& connection, size_t to) {
  schedule(arrival_at(connection->sides[to]), [connection, to] {
    Side& side = connection->sides[to];
    if (side.gone || side.error != 0) return;
    side.end_arrived = true;
    if (side.io != nullptr) side.io->on_arrival(side.slot);
  });
}

void World::Impl::transmit_reset(const ConnectionPointer& connection, size_t to) {
  schedule(arrival_at(connection->sides[to]), [connection, to] { reset(connection->sides[to]); });
}

void World::Impl::reset(Side& side) {
  if (side.gone || side.error != 0) return;
  side.error = -ECONNRESET;
  if (side.io != nullptr) side.io->on_reset(side.slot);
}

SocketAddress World::Impl::unused_port(SocketAddress address) {
  if (address.family() == AF_UNIX) return address;
  address.set_port(next_port_);
  next_port_ = next_port_ == 60999 ? 32768 : static_cast<uint16_t>(next_port_ + 1);
  return address;
}

}  // namespace ringmta::sim
