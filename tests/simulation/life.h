// SPDX-License-Identifier: GPL-3.0-or-later
// What one life of the machine consists of; torn down in the opposite order.
#pragma once

#include "machine.h"

namespace ringmta::simulation {

struct Machine::Life {
  explicit Life(const config::Settings& the_settings)
      : settings(the_settings),
        exchange(settings.shards),
        clients(std::make_unique<server::ClientTable>(1)),
        auth(std::make_unique<server::AuthShared>(false)),
        snapshots(settings.shards) {}

  const config::Settings settings;
  relay::Exchange exchange;
  std::unique_ptr<server::ClientTable> clients;
  std::unique_ptr<server::AuthShared> auth;
  std::vector<http::SnapshotCell<http::ShardSnapshot>> snapshots;
  const tls::TicketKeys ticket_keys;
  client::Credentials credentials;
  std::unique_ptr<spool::Recovery> recovery;
  std::vector<std::unique_ptr<relay::ShardRelay>> shards;
};

}  // namespace ringmta::simulation
