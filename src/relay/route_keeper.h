// SPDX-License-Identifier: GPL-3.0-or-later
// Keeps the addresses of the routes' smart hosts: looks them up at start and again every
// `resolve_interval`, on a thread of its own, and tells every shard what changed.
#pragma once

#include <memory>

#include "exchange.h"
#include "ringmta/config/settings.h"

namespace ringmta::relay {

class RouteKeeper final {
 public:
  // Literal addresses are with the shards when this returns; names follow when they are looked up.
  RouteKeeper(const config::Settings& settings, Exchange& exchange);
  ~RouteKeeper();  // does not wait for a look-up that is under way
  RouteKeeper(const RouteKeeper&) = delete;
  RouteKeeper& operator=(const RouteKeeper&) = delete;

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the thread, which may outlive this in a look-up
};

}  // namespace ringmta::relay
