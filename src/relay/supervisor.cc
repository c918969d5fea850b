// SPDX-License-Identifier: GPL-3.0-or-later
// The order of a start: signals, the spool, the shards, the doors; an end goes the other way.
#include "supervisor.h"

#include <fmt/format.h>
#include <systemd/sd-daemon.h>

#include <nlohmann/json.hpp>

#include "privileges.h"
#include "ringmta/base/log.h"
#include "ringmta/base/version.h"
#include "ringmta/ring/disk.h"
#include "ringmta/shard/pinning.h"

namespace ringmta::relay {

namespace {

constexpr Milliseconds kShardAnswer = seconds(30);

}  // namespace

Supervisor::Supervisor(std::string file, const config::Settings& settings,
                       process::CommandRunner& runner)
    : file_(std::move(file)),
      settings_(settings),
      current_(std::make_shared<const config::Settings>(settings)),
      exchange_(settings.shards),
      clients_(std::make_unique<server::ClientTable>()),
      auth_(std::make_unique<server::AuthShared>()),
      snapshots_(settings.shards),
      threads_(settings.shards),
      operator_(settings, exchange_, snapshots_, [this] { return reload(); }) {
  credentials_.run_commands_by(runner);
}

Status Supervisor::start() {
  signal(SIGPIPE, SIG_IGN);
  sigemptyset(&signals_);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals_, number);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);  // inherited: only the supervisor takes them

  if (Status fine = recover_spool(); !fine) return fine;
  if (Status fine = events::end_last_line(settings_.events.file); !fine) {
    log(LogLevel::warning, "events: {}; its last line is not whole", fine.error().message);
  }
  if (Status fine = start_shards(); !fine) return fine;
  return open_doors();
}

Status Supervisor::recover_spool() {
  const std::string& directory = settings_.spool.directory;
  if (Status fine = ring::disk::make_directory(directory); !fine) return fine;
  if (Status fine = ring::disk::lock_directory(directory); !fine) return fine;
  auto recovery = spool::recover(directory, settings_.shards, settings_.shards);
  if (!recovery) return std::unexpected(recovery.error());
  recovery_ = std::move(*recovery);
  const auto& report = recovery_->report();
  for (const std::string& finding : report.findings) log(LogLevel::warning, "spool: {}", finding);
  log(LogLevel::info, "spool {}: {} messages with {} recipients to deliver, {} segments", directory,
      report.messages, report.recipients_pending, report.segments);
  if (settings_.spool.durability == spool::DurabilityMode::relaxed) {
    log(LogLevel::warning,
        "durability = \"relaxed\": a power failure or kernel crash LOSES mail that was accepted; "
        "this setting is for benchmarks");
  }
  return {};
}

void Supervisor::shard_main(ShardId id, int cpu, std::promise<Status> started) {
  shard::name_this_thread(fmt::format("shard-{}", id.value));
  ShardThread& mine = threads_[id.value];
  if (cpu >= 0) {
    if (Status pinned = shard::pin_this_thread(cpu); !pinned) return started.set_value(pinned);
  }
  const Shared shared{settings_,    exchange_,       *clients_,  *auth_,
                      credentials_, recovery_.get(), snapshots_, tickets_.keys()};
  auto made = ShardRelay::create(shared, id, cpu);
  if (!made) return started.set_value(std::unexpected(made.error()));
  mine.relay = std::move(*made);
  mine.loop = &mine.relay->loop();
  exchange_.attach(id, *mine.loop);
  started.set_value({});
  mine.relay->run();
}

Status Supervisor::start_shards() {
  Status result;
  std::vector<std::future<Status>> started;
  for (uint16_t number = 0; number < settings_.shards; ++number) {
    std::promise<Status> promise;
    started.push_back(promise.get_future());
    const int cpu = settings_.cpus.empty() ? -1 : settings_.cpus[number % settings_.cpus.size()];
    threads_[number].thread =
        std::thread(&Supervisor::shard_main, this, ShardId{number}, cpu, std::move(promise));
  }
  for (auto& one : started) {
    Status fine = one.get();
    if (!fine && result) result = fine;
  }
  recovery_.reset();
  return result;
}

Status Supervisor::open_doors() {
  routes_ = std::make_unique<RouteKeeper>(settings_, exchange_);
  tickets_.start(settings_.server.tls, settings_.shards, exchange_);
  if (!settings_.control.socket.empty()) {
    auto control = http::ControlServer::start(
        settings_.control.socket, settings_.control.mode,
        [this](const nlohmann::json& request, const http::ControlServer::Reply& reply) {
          operator_.answer(request, reply);
        });
    if (!control) return std::unexpected(control.error());
    control_ = std::move(*control);
  }
  if (!settings_.metrics.listen.empty()) {
    auto metrics = http::MetricsServer::start(
        settings_.metrics.listen, [this] { return operator_.snapshots(); }, kVersion);
    if (!metrics) return std::unexpected(metrics.error());
    metrics_ = std::move(*metrics);
  }
  Status listening;
  for (uint16_t number = 0; number < settings_.shards; ++number) {
    auto result = std::make_shared<Status>();
    const bool answered = Task::run_on(
        exchange_, ShardId{number},
        [result](ShardRelay& relay) {
          *result = relay.listen();
          return true;
        },
        kShardAnswer);
    if (!answered) return fail(fmt::format("shard {} does not answer", number));
    if (!*result) return *result;
  }
  for (const SocketAddress& address : settings_.server.listeners) {
    log(LogLevel::info, "{} listens on {} with {} shard{}", settings_.hostname, address.text(),
        settings_.shards, settings_.shards == 1 ? "" : "s");
  }
  for (const SocketAddress& address : settings_.server.tls.listeners) {
    log(LogLevel::info, "{} listens on {} with TLS", settings_.hostname, address.text());
  }
  if (Status fine = confine_serving(settings_); !fine) return fine;
  sd_notify(0, "READY=1");
  return {};
}

bool Supervisor::on_every_shard(const Task::Slice& slice) {
  bool all = true;
  for (uint16_t number = 0; number < settings_.shards; ++number) {
    all = Task::run_on(exchange_, ShardId{number}, slice, kShardAnswer) && all;
  }
  return all;
}

void Supervisor::end_shards() {
  control_.reset();
  metrics_.reset();
  routes_.reset();
  tickets_.stop();
  for (ShardThread& one : threads_) {
    if (one.loop != nullptr) one.loop->stop();
  }
  for (ShardThread& one : threads_) {
    if (one.thread.joinable()) one.thread.join();
  }
  exchange_.drop_letters();
  // Jobs may be on loan from one shard to another: all loops stand still before any is taken down.
  for (ShardThread& one : threads_) one.relay.reset();
}

}  // namespace ringmta::relay
