// SPDX-License-Identifier: GPL-3.0-or-later
// The cheapest world a pool can live in, linked instead of the simulator and the queue: an Io whose
// streams all lead to a good SMTP server that answers within the next turn, and a queue that hands
// out the same few jobs again and again. What is left to measure is the pool (and the protocol
// machine in it).
#pragma once

#include <cstdint>
#include <string>

#include "ringmta/client/pool.h"

namespace ringmta::client {

struct LeanWorld {
  // What the peers offer in their reply to EHLO.
  std::string ehlo =
      "250-mx.example.net\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250 8BITMIME\r\n";
  bool chunking = false;  // and CHUNKING
  uint32_t connections_max = 50;
  uint32_t messages_per_connection_max = 0;
  size_t content_octets = 1024;
  size_t content_pieces = 2;

  uint64_t to_give = 0;  // how many jobs the queue has
  uint64_t delivered = 0, other_verdicts = 0;
  uint64_t sends = 0, connects = 0;
};

// The one that is current for Io and Queue made from now on.
void set_lean_world(LeanWorld& world);

// A shard in it.
class LeanShard final {
 public:
  explicit LeanShard(LeanWorld& world, const ClientPoolOptions& options = {});
  ~LeanShard();
  // Delivers so many messages.
  void deliver(uint64_t messages);
  const ClientCounters& counters() const { return pools_->counters(); }

 private:
  LeanWorld& world_;
  std::unique_ptr<ring::Io> io_;
  std::unique_ptr<shard::Loop> loop_;
  std::unique_ptr<queue::Queue> queue_;
  std::unique_ptr<Pools> pools_;
};

}  // namespace ringmta::client
