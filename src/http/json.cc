// SPDX-License-Identifier: GPL-3.0-or-later
// Snapshots as JSON, for the control socket. Groups as in the table of fields.
#include <nlohmann/json.hpp>

#include "fields.h"
#include "ringmta/http/metrics.h"

namespace ringmta::http {

nlohmann::json to_json(const ShardSnapshot& snapshot) {
  nlohmann::json object;
  for (const Field& field : fields()) {
    object[std::string(field.group)][std::string(field.name)] = field.value(snapshot);
  }
  // Some of the numbers are answers to yes-or-no questions.
  object["spool"]["accepting"] = snapshot.spool.accepting;
  object["spool"]["direct"] = snapshot.spool.direct;
  object["queue"]["full"] = snapshot.queue.full;
  object["shard"]["number"] = snapshot.shard;
  object["shard"]["cpu"] = snapshot.cpu;
  return object;
}

nlohmann::json to_json(const SiteSnapshot& snapshot) {
  return {{"name", snapshot.name},
          {"ready", snapshot.ready},
          {"deferred", snapshot.deferred},
          {"active", snapshot.active},
          {"connections", snapshot.connections},
          {"held_reason", snapshot.held_reason},
          {"held_for_ms", snapshot.held_for_ms}};
}

}  // namespace ringmta::http
