// SPDX-License-Identifier: GPL-3.0-or-later
// A reload: the file and all it names are read first, so that a mistake in any of them changes
// nothing; then every shard takes over what is new between two of its turns.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "mail_domains.h"
#include "ringmta/base/interfaces.h"
#include "ringmta/base/log.h"
#include "ringmta/config/load.h"
#include "supervisor.h"

namespace ringmta::relay {

// Reads the file anew: with a mistake in it, nothing changes. What needs a start keeps its value
// until then.
nlohmann::json Supervisor::reload() {
  const std::lock_guard guard(reload_lock_);
  config::Loaded loaded = config::load(file_, config::this_machine());
  nlohmann::json answer{{"errors", nlohmann::json::array()},
                        {"warnings", nlohmann::json::array()},
                        {"changes", nlohmann::json::array()}};
  for (const config::Problem& problem : loaded.errors) {
    std::string text = config::text(loaded, problem);
    if (settings_.process.landlock && text.find("Permission denied") != std::string::npos) {
      text +=
          ". Its directory may be one that the confinement of the start leaves out: restart the "
          "relay, or name it in [process] readable";
    }
    log(LogLevel::error, "{}", text);
    answer["errors"].push_back(std::move(text));
  }
  if (!loaded.errors.empty()) {
    log(LogLevel::error, "{} has mistakes: the relay goes on as before", file_);
    return answer;
  }
  for (const config::Problem& problem : loaded.warnings) {
    answer["warnings"].push_back(config::text(loaded, problem));
    log(LogLevel::warning, "{}", config::text(loaded, problem));
  }
  for (std::string& text : find_dns_servers(loaded.settings)) {
    answer["warnings"].push_back(std::move(text));
  }
  const config::Settings asked = loaded.settings;
  config::keep_until_start(loaded.settings, *current_);
  // For each shard; read here, where it stalls none. All or none is taken.
  std::vector<std::shared_ptr<dkim::KeyRing>> keys;
  std::vector<std::shared_ptr<tls::ServerContext>> contexts;
  for (uint16_t shard = 0; shard < current_->shards; ++shard) {
    auto ring = load_keys(loaded.settings.server.dkim);
    auto context = server::make_tls_context(loaded.settings.server.tls,
                                            threads_[shard].relay->server().handshake_budget());
    if (!ring || !context) {
      const std::string& why = (ring ? context.error() : ring.error()).message;
      answer["errors"].push_back(why);
      log(LogLevel::error, "{}: the relay goes on as before", why);
      return answer;
    }
    keys.push_back(std::move(*ring));
    contexts.push_back(std::move(*context));
  }
  auto waiting = config::changes(loaded.settings, asked);
  auto changes = config::changes(*current_, loaded.settings);
  changes.insert(changes.end(), waiting.begin(), waiting.end());
  for (const config::Change& change : changes) {
    answer["changes"].push_back({{"key", change.key},
                                 {"from", change.from},
                                 {"to", change.to},
                                 {"at_start", change.at_start}});
    log(LogLevel::info, "reload: {}: {} -> {}{}", change.key, change.from, change.to,
        change.at_start ? " (at the next start)" : "");
  }
  loaded.settings.client.machine_addresses = interface_addresses();
  current_ = std::make_shared<const config::Settings>(std::move(loaded.settings));
  set_log_level(current_->log_level);
  const bool all =
      on_every_shard([fresh = current_, contexts, keys = std::move(keys)](ShardRelay& relay) {
        relay.reload(*fresh, contexts[relay.id().value], keys[relay.id().value]);
        return true;
      });
  tickets_.start(current_->server.tls, current_->shards, exchange_);
  if (!all) answer["warnings"].push_back("a shard has not taken the changes yet");
  routes_ = std::make_unique<RouteKeeper>(*current_, exchange_);
  return answer;
}

}  // namespace ringmta::relay
