// SPDX-License-Identifier: GPL-3.0-or-later
// What a World consists of: the clock with everything scheduled on it, the connections between Ios,
// and the file system they share.
//
// The insight: whatever will happen is an action with a time, kept in order of time and, at equal
// times, of scheduling. Actions only change state and mark who has something to be told; events are
// made when the Io concerned has its turn. So there is no order of calls to get wrong, and a seed
// fixes everything.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "filesystem.h"
#include "ringmta/base/prng.h"
#include "ringmta/sim/world.h"

namespace ringmta::sim {

// One end of a connection, with what is on its way to it.
struct Side {
  ring::Io::Impl* io = nullptr;  // null: not accepted yet, or gone
  SlotHandle slot{};
  bool gone = false;
  SocketAddress address{};
  std::deque<std::vector<std::byte>> arrived;
  uint64_t in_window = 0;  // octets under way or arrived, not taken yet
  Monotonic last_arrival{};
  bool end_arrived = false;
  int32_t error = 0;
};

struct Connection {
  std::array<Side, 2> sides;  // 0 connected, 1 accepted
  uint64_t octets_to_reset = UINT64_MAX;
};
using ConnectionPointer = std::shared_ptr<Connection>;

struct World::Impl {
  explicit Impl(const WorldOptions& chosen);

  // Time.
  void schedule(Monotonic at, std::function<void()> action);
  void run_due();
  bool advance(Monotonic limit);
  Monotonic after_latency(int64_t us_min, int64_t us_max);

  // The network. `to` is the side something travels to.
  void attempt(const ConnectionPointer& connection, Monotonic deadline);
  void transmit(const ConnectionPointer& connection, size_t to, std::vector<std::byte> data);
  void transmit_end(const ConnectionPointer& connection, size_t to);
  void transmit_reset(const ConnectionPointer& connection, size_t to);
  SocketAddress unused_port(SocketAddress address);
  void transmit_datagram(const SocketAddress& from, const SocketAddress& to, Bytes data);

  // Files.
  std::optional<DiskFault> strike(DiskOperation operation, const std::string& path);

  void note(uint64_t value);  // into the trace
  ring::Io::Impl* find_io(uint32_t id) const;

  WorldOptions options;
  Prng random;
  Monotonic now{1'000'000'000'000};
  Monotonic start = now;
  uint64_t trace = 0;
  World::Struck faults_struck;  // names are literals
  FileSystem files;
  std::vector<DiskFault> faults;
  std::vector<ring::Io::Impl*> ios;
  uint32_t ios_made = 0;
  uint64_t steps_at_this_time = 0;
  std::vector<SocketAddress> refused;
  std::vector<SocketAddress> unroutable;
  std::vector<SocketAddress> unreachable;
  std::deque<std::pair<SocketAddress, uint64_t>> resets;

 private:
  struct Scheduled {
    Monotonic at;
    uint64_t sequence;
    std::function<void()> action;
  };
  static bool later(const Scheduled& a, const Scheduled& b);
  Monotonic arrival_at(Side& side);
  void arrive(const ConnectionPointer& connection, size_t to, std::vector<std::byte> data);
  static void reset(Side& side);
  void fail_attempt(const Side& side, int32_t result);
  void arrive_datagram(const SocketAddress& from, const SocketAddress& to, Bytes data);
  void bounce_datagram(const SocketAddress& from, const SocketAddress& to);

  std::vector<Scheduled> scheduled_;  // a heap, the earliest first
  uint64_t sequence_ = 0;
  uint16_t next_port_ = 32768;
};

}  // namespace ringmta::sim
