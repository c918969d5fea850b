// SPDX-License-Identifier: GPL-3.0-or-later
// What a running machine may hold, and what one at rest may.
#include <fmt/format.h>

#include "life.h"

namespace ringmta::simulation {

namespace {

// Beyond the hard limit of memory for contents: reads under way, and the batch that gathers.
constexpr uint64_t kMemorySlack = 4 << 20;
// An idle spool keeps the batch it will write next.
// The resolver keeps some (16 a server) for its next questions.
constexpr uint64_t kSocketsAtRest = 32;
constexpr uint64_t kMemoryAtRest = 4 << 20;

}  // namespace

std::string Machine::beyond_limits() const {
  if (life_ == nullptr) return {};
  const config::Settings& settings = life_->settings;
  std::string found;
  uint64_t disk = 0;
  for (const auto& cell : life_->snapshots) {
    http::ShardSnapshot now;
    if (!cell.read(now)) continue;
    const auto within = [&](std::string_view what, uint64_t value, uint64_t limit) {
      if (value > limit)
        found += fmt::format("shard {}: {} {} of {}; ", now.shard, value, what, limit);
    };
    within("octets of contents", now.spool.memory_octets,
           settings.spool.memory_max + settings.spool.memory_max / 4 + kMemorySlack);
    within("connections", now.client.connections, settings.client.connections_max);
    within("streams", now.streams_open, settings.io.streams_max);
    within("DNS questions", now.dns.in_flight, settings.resolver.queries_max);
    within("DNS questions waiting", now.dns.waiting, settings.resolver.waiting_max);
    within("octets of events", now.events.memory_octets, settings.events.buffer_max);
    disk += now.spool.disk_octets;
  }
  // Of now, not of when each shard told last: a session may have ended in one and begun in another.
  uint64_t sessions = 0;
  for (relay::ShardRelay* one : shards_) sessions += one->server().counters().sessions;
  if (sessions > settings.server.sessions_max) {
    found += fmt::format("{} sessions of {}; ", sessions, settings.server.sessions_max);
  }
  if (sessions != life_->clients->total()) {
    found += fmt::format("{} sessions, {} are counted; ", sessions, life_->clients->total());
  }
  // What more shards have left is not given up by fewer.
  const uint64_t disk_max = settings.spool.disk_max * shards_most_;
  if (disk_max > 0 && disk > disk_max) {
    found += fmt::format("{} octets of segments of {}; ", disk, disk_max);
  }
  return found;
}

uint64_t Machine::memory_octets() const {
  uint64_t most = 0;
  for (const auto& cell : life_->snapshots) {
    http::ShardSnapshot now;
    if (cell.read(now)) most = std::max(most, now.memory_octets);
  }
  return most;
}

uint64_t Machine::events_lost() const {
  uint64_t lost = 0;
  for (const auto& cell : life_->snapshots) {
    http::ShardSnapshot now;
    if (cell.read(now)) lost += now.events.lost;
  }
  return lost;
}

uint64_t Machine::queued() const {
  uint64_t count = 0;
  for (relay::ShardRelay* one : shards_) count += one->queue().counters().recipients;
  return count;
}

std::string Machine::leftovers() const {
  std::string found;
  for (size_t number = 0; number < shards_.size(); ++number) {
    relay::ShardRelay& shard = *shards_[number];
    http::ShardSnapshot now;
    if (!life_->snapshots[number].read(now)) continue;
    const auto none = [&](std::string_view what, uint64_t value, uint64_t allowed = 0) {
      if (value > allowed) found += fmt::format("shard {} has {} {}; ", number, value, what);
    };
    const sim::World::Held held = sim::World::held(shard.loop().io());
    none("streams open", held.streams);
    none("datagram sockets open", held.datagrams, kSocketsAtRest);
    none("file operations in flight", held.operations);
    none("files open", held.files, now.spool.segments + 1);  // and that of the events
    const auto& queue = shard.queue().counters();
    none("messages queued", queue.messages);
    none("recipients queued", queue.recipients);
    none("deliveries", queue.ready + queue.deferred + queue.active);
    none("messages in the spool", now.spool.messages);
    none("octets of contents in memory", now.spool.memory_octets, kMemoryAtRest);
    none("sessions", now.server.sessions);
    none("connections", now.client.connections);
    none("DNS questions", now.dns.in_flight + now.dns.waiting);
  }
  return found;
}

}  // namespace ringmta::simulation
