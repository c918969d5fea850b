// SPDX-License-Identifier: GPL-3.0-or-later
// Lives of a relay, one after the other.
#include "machine.h"

#include <fmt/format.h>

#include "ringmta/ring/disk.h"

namespace ringmta::simulation {

// Torn down in the opposite order.
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

Machine::Machine(sim::World& world) : world_(world) {}

Machine::~Machine() {
  if (running()) crash(sim::Crash::process);
}

bool Machine::start(const std::string& configuration) {
  why_.clear();
  const config::Machine hardware{{0, 1, 2, 3}, 16ULL << 30, 1'000'000};
  const config::Loaded loaded = config::parse(configuration, "simulated.toml", hardware);
  for (const config::Problem& problem : loaded.errors) why_ += config::text(loaded, problem) + "\n";
  if (!loaded.errors.empty()) return false;
  const auto fails = [this](const Error& error) {
    why_ = error.message;
    end_life();
    return false;
  };
  life_ = std::make_unique<Life>(loaded.settings);
  Life& life = *life_;
  const std::string& directory = life.settings.spool.directory;
  if (Status fine = ring::disk::make_directory(directory); !fine) return fails(fine.error());
  if (Status fine = ring::disk::lock_directory(directory); !fine) return fails(fine.error());
  auto recovery = spool::recover(directory, life.settings.shards, 1);
  if (!recovery) return fails(recovery.error());
  life.recovery = std::move(*recovery);
  findings_ = life.recovery->report().findings;
  recovered_ = life.recovery->report().messages;
  if (Status fine = events::end_last_line(life.settings.events.file); !fine) {
    return fails(fine.error());
  }
  const relay::Shared shared{life.settings,  life.exchange,    *life.clients,
                             *life.auth,     life.credentials, life.recovery.get(),
                             life.snapshots, life.ticket_keys};
  for (uint16_t number = 0; number < life.settings.shards; ++number) {
    auto made = relay::ShardRelay::create(shared, ShardId{number}, -1);
    if (!made) return fails(made.error());
    life.exchange.attach(ShardId{number}, (*made)->loop());
    life.shards.push_back(std::move(*made));
  }
  life.recovery.reset();
  for (const auto& one : life.shards) {
    shards_.push_back(one.get());
    world_.drive(one->loop().io(), &one->loop(),
                 [](void* self) { static_cast<shard::Loop*>(self)->turn(); });
  }
  for (relay::ShardRelay* one : shards_) {
    if (Status fine = one->listen(); !fine) return fails(fine.error());
  }
  return true;
}

void Machine::crash(sim::Crash kind) {
  std::vector<ring::Io*> dead;
  for (relay::ShardRelay* one : shards_) dead.push_back(&one->loop().io());
  world_.crash(dead, kind);
  end_life();
}

void Machine::end_life() {
  shards_.clear();
  if (life_ == nullptr) return;
  life_->exchange.drop_letters();
  life_->shards.clear();
  life_.reset();
  world_.release_locks();
}

bool Machine::stop() {
  for (relay::ShardRelay* one : shards_) one->begin_stop();
  for (relay::ShardRelay* one : shards_) one->loop().io().ring_doorbell();
  const bool ended = world_.run_until(
      [this] {
        for (relay::ShardRelay* one : shards_) {
          if (!one->drained()) return false;
        }
        return true;
      },
      minutes(1));
  return ended;
}

uint64_t Machine::queued() const {
  uint64_t count = 0;
  for (relay::ShardRelay* one : shards_) count += one->queue().counters().recipients;
  return count;
}

std::string Machine::leftovers() const {
  std::string found;
  for (relay::ShardRelay* one : shards_) {
    const ring::Io& io = one->loop().io();
    if (io.streams_open() > 0) {
      found += fmt::format("shard {} has {} streams open; ", one->id().value, io.streams_open());
    }
    const auto& queue = one->queue().counters();
    if (queue.messages + queue.recipients + queue.ready + queue.deferred + queue.active > 0) {
      found += fmt::format("shard {} counts {} messages, {} recipients, {} deliveries; ",
                           one->id().value, queue.messages, queue.recipients,
                           queue.ready + queue.deferred + queue.active);
    }
  }
  return found;
}

}  // namespace ringmta::simulation
