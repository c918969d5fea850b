// SPDX-License-Identifier: GPL-3.0-or-later
// The configured servers and how they did lately: which to ask next.
//
// The insight: the fastest is asked, and each time the others' remembered round trips shrink a
// little, so that after a while one of them is asked again and can show that it is the faster one
// now. A server that stays silent three times in a row is left alone for a second, then two, up to
// thirty; whatever it answers then makes it whole.
#pragma once

#include <cstdint>
#include <vector>

#include "ringmta/base/address.h"
#include "ringmta/base/time.h"

namespace ringmta::dns {

struct Server {
  SocketAddress address{};
  int64_t round_trip_us = 0;  // smoothed; 0: never asked
  uint32_t silent = 0;        // times in a row
  Monotonic down_until{};
  Monotonic edns_again{};  // it does not understand EDNS: none before this
  uint64_t sent = 0;
  uint64_t answered = 0;
  uint64_t timeouts = 0;
};

class Servers final {
 public:
  static constexpr uint8_t kNone = 0xFF;

  void set(const std::vector<SocketAddress>& addresses);
  bool empty() const { return servers_.empty(); }
  size_t size() const { return servers_.size(); }
  Server& at(uint8_t index) { return servers_.at(index); }
  const std::vector<Server>& all() const { return servers_; }

  // The best server whose bit in `tried` is not set, or kNone. One that is down is chosen only
  // where nothing else is left.
  uint8_t choose(uint32_t tried, Monotonic now);

  // What became of a question. kNone (a server of a former list) is ignored.
  void answered(uint8_t server, int64_t round_trip_us);
  void said_something(uint8_t server);  // no time was measured
  void was_silent(uint8_t server, Monotonic now);
  void was_useless(uint8_t server);  // it refuses what it is asked: others first
  void no_edns(uint8_t server, Monotonic now);
  bool wants_edns(uint8_t server, Monotonic now) const;

 private:
  std::vector<Server> servers_;
};

}  // namespace ringmta::dns
