// SPDX-License-Identifier: GPL-3.0-or-later
// What the sink counts: per thread (one writer), and per listener over all threads.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "tools/common/process.h"

namespace ringmta::tools {

// By one thread of the sink.
struct SinkCounts {
  Counter connections;
  Counter connections_broken;  // ended by the client without QUIT
  Counter transactions;        // MAIL accepted
  Counter messages;            // taken with 2xx
  Counter deliveries;          // recipients of these
  Counter octets;              // of these, without stuffing
  Counter messages_refused;    // by a rule, after their data was read
  Counter messages_dropped;    // read, but the connection was dropped before a reply
  Counter recipients_per_transaction_max;
  Counter messages_per_connection_max;
  Counter early_input;     // commands sent ahead of a reply without PIPELINING having been offered
  Counter bad_commands;    // answered 500, 501, 503, 504 or 555 by the sink itself
  Counter bare_line_ends;  // commands that ended in a bare LF
  Counter tls_sessions;    // handshakes done
  Counter tls_resumed;     // of these, continuing an earlier one
  Counter authenticated;   // connections
  Counter auth_refused;    // times
  Counter good;            // verified messages
  Counter corrupt;
  Counter unmarked;
  Counter duplicates;         // deliveries that came twice
  Counter duplicates_unsure;  // the same, but the first 250 may not have reached the client
  Counter record_failures;
  Counter first_delivery_ns;
  Counter last_delivery_ns;
  std::array<Counter, 600> replies;  // by code
};

// One address listened on; all threads write.
struct ListenerCounts {
  std::atomic<uint32_t> open{0};
  std::atomic<uint32_t> open_max{0};
  std::atomic<uint64_t> connections{0};
  std::atomic<uint64_t> messages{0};
  std::atomic<uint64_t> deliveries{0};

  void opened(std::atomic<uint32_t>& own, std::atomic<uint32_t>& own_max) {
    const uint32_t now = own.fetch_add(1, std::memory_order_relaxed) + 1;
    uint32_t most = own_max.load(std::memory_order_relaxed);
    while (now > most && !own_max.compare_exchange_weak(most, now, std::memory_order_relaxed)) {
    }
  }
};

// The first corrupt messages, in words, for whoever has to find out why.
class CorruptSamples final {
 public:
  static constexpr size_t kMax = 20;
  void add(std::string sample) {
    const std::lock_guard guard(mutex_);
    if (samples_.size() < kMax) samples_.push_back(std::move(sample));
  }
  std::vector<std::string> get() const {
    const std::lock_guard guard(mutex_);
    return samples_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> samples_;
};

}  // namespace ringmta::tools
