// SPDX-License-Identifier: GPL-3.0-or-later
// Lives of a relay, one after the other.
#include "machine.h"

#include "life.h"
#include "ringmta/base/log.h"
#include "ringmta/ring/disk.h"

namespace ringmta::simulation {

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
  shards_most_ = std::max(shards_most_, loaded.settings.shards);
  Life& life = *life_;
  const std::string& directory = life.settings.spool.directory;
  if (Status fine = ring::disk::make_directory(directory); !fine) return fails(fine.error());
  if (Status fine = ring::disk::lock_directory(directory); !fine) return fails(fine.error());
  auto recovery = spool::recover(directory, life.settings.shards, 1);
  if (!recovery) return fails(recovery.error());
  life.recovery = std::move(*recovery);
  findings_ = life.recovery->report().findings;
  recovered_ = life.recovery->report().messages;
  log(LogLevel::info, "start at {:.3f} s with {} shards: {} messages",
      static_cast<double>(world_.now().ns) / 1e9, life.settings.shards, recovered_);
  for (const std::string& finding : findings_) log(LogLevel::warning, "spool: {}", finding);
  if (Status fine = events::end_last_line(life.settings.events.file); !fine) {
    log(LogLevel::warning, "events: {}", fine.error().message);  // as the supervisor does
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

}  // namespace ringmta::simulation
