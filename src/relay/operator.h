// SPDX-License-Identifier: GPL-3.0-or-later
// Answers to `ringmta status`, `ringmta queue ...` and `ringmta reload`: questions come from the
// control socket's thread, answers from the shards, in slices. Nothing an operator asks can stall a
// shard or hold more than a page of entries in memory.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "exchange.h"
#include "ringmta/base/version.h"
#include "ringmta/config/settings.h"
#include "ringmta/http/control_server.h"
#include "ringmta/http/snapshot.h"

namespace ringmta::relay {

class ShardRelay;

class Operator final {
 public:
  using Reload = std::function<nlohmann::json()>;
  Operator(const config::Settings& settings, Exchange& exchange,
           const std::vector<http::SnapshotCell<http::ShardSnapshot>>& snapshots, Reload reload);

  // A http::ControlServer::Handler.
  void answer(const nlohmann::json& request, const http::ControlServer::Reply& reply);

  std::vector<http::ShardSnapshot> snapshots() const;

 private:
  void freshen() const;
  nlohmann::json status() const;
  bool run_on(ShardId shard, const std::function<bool(ShardRelay&)>& slice);
  void list(const nlohmann::json& request, const http::ControlServer::Reply& reply);
  void show(const nlohmann::json& request, const http::ControlServer::Reply& reply);
  void change(const nlohmann::json& request, const http::ControlServer::Reply& reply, bool retry);

  const config::Settings& settings_;
  Exchange& exchange_;
  const std::vector<http::SnapshotCell<http::ShardSnapshot>>& cells_;
  const Reload reload_;
  const WallTime started_;
};

}  // namespace ringmta::relay
