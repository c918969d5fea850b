// SPDX-License-Identifier: GPL-3.0-or-later
// The DNS servers that all resolvers of a process are to ask from now on: how a reload reaches
// them.
//
// Who reads the configuration sets the list, on a thread of its own. A resolver looks at the number
// of changes once a turn, which costs one load of a word that hardly ever changes, and takes the
// lock only when the number is another.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "ringmta/base/address.h"

namespace ringmta::dns {

class ServerList final {
 public:
  // A sleeping shard asks them from its next turn on.
  void set(std::vector<SocketAddress> servers) {
    const std::lock_guard guard(lock_);
    servers_ = std::move(servers);
    changes_.fetch_add(1, std::memory_order_release);
  }
  // 0: never set, the servers are those of the options.
  uint64_t changes() const { return changes_.load(std::memory_order_acquire); }
  std::vector<SocketAddress> get() const {
    const std::lock_guard guard(lock_);
    return servers_;
  }

 private:
  mutable std::mutex lock_;
  std::vector<SocketAddress> servers_;
  std::atomic<uint64_t> changes_{0};
};

}  // namespace ringmta::dns
