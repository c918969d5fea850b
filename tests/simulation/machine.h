// SPDX-License-Identifier: GPL-3.0-or-later
// A machine that runs the relay: all shards in one thread, on the simulated disk, started, killed
// and started again. What the supervisor does with threads is done here without.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "../../src/relay/exchange.h"
#include "../../src/relay/shard_relay.h"
#include "ringmta/config/load.h"
#include "ringmta/sim/world.h"

namespace ringmta::simulation {

class Machine final {
 public:
  explicit Machine(sim::World& world);
  ~Machine();

  // False: it cannot start; why() says so.
  bool start(const std::string& configuration);
  void crash(sim::Crash kind);
  // As SIGTERM does it. False: it did not come to an end within a minute.
  bool stop();

  bool running() const { return !shards_.empty(); }
  const std::string& why() const { return why_; }
  const std::vector<std::string>& findings() const { return findings_; }  // of the last recovery
  uint64_t recovered() const { return recovered_; }                       // messages
  relay::ShardRelay& shard(size_t number) { return *shards_.at(number); }
  uint64_t queued() const;  // recipients
  // What is still open that should not be, when all is quiet; empty: nothing.
  std::string leftovers() const;
  // Which of its limits a shard has gone beyond, as it counts itself; empty: none.
  std::string beyond_limits() const;
  uint64_t events_lost() const;
  uint64_t memory_octets() const;  // the most that a shard accounts for

 private:
  struct Life;
  void end_life();

  sim::World& world_;
  std::unique_ptr<Life> life_;
  std::vector<relay::ShardRelay*> shards_;
  std::string why_;
  std::vector<std::string> findings_;
  uint64_t recovered_ = 0;
  uint32_t shards_most_ = 0;  // in any life
};

}  // namespace ringmta::simulation
