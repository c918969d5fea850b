// SPDX-License-Identifier: GPL-3.0-or-later
// Metrics for Prometheus at http://ADDRESS/metrics, and the same numbers as JSON for `status`.
//
// The insight: every number is described once, in one table (src/http/fields.cc): where it is in a
// ShardSnapshot, its metric name, its name in JSON, what it means. The scrape, the status command
// and docs/metrics.md all come from it, so they cannot disagree.
//
// A scrape runs on this server's thread and reads what the shards published last.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/base/address.h"
#include "ringmta/base/result.h"
#include "ringmta/http/snapshot.h"

namespace ringmta::http {

class MetricsServer final {
 public:
  using Read = std::function<std::vector<ShardSnapshot>()>;  // called on the server's thread

  // IPv4 and IPv6 addresses; port 0: a free one. Fails with the address that is taken.
  static Result<std::unique_ptr<MetricsServer>> start(const std::vector<SocketAddress>& listen,
                                                      Read read, std::string_view version);
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  std::vector<uint16_t> ports() const;  // really listened on, in the order of `listen`

 private:
  struct Impl;
  explicit MetricsServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The snapshot as an object: {"shard":0,"cpu":-1,"time":"...","server":{...},"queue":{...},...}.
// Names and meanings: docs/metrics.md.
nlohmann::json to_json(const ShardSnapshot& snapshot);
nlohmann::json to_json(const SiteSnapshot& snapshot);

}  // namespace ringmta::http
