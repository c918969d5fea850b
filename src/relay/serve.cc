// SPDX-License-Identifier: GPL-3.0-or-later
// The supervisor: starts the shards, waits for signals, ends them in order. It touches no mail.

#include "ringmta/relay/serve.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <future>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "exchange.h"
#include "operator.h"
#include "ringmta/base/log.h"
#include "ringmta/http/metrics.h"
#include "ringmta/ring/disk.h"
#include "ringmta/shard/pinning.h"
#include "route_keeper.h"
#include "shard_relay.h"
#include "task.h"
#include "ticket_keeper.h"

namespace ringmta::relay {

namespace {

constexpr Milliseconds kShardAnswer = seconds(30);

struct ShardThread {
  std::thread thread;
  std::unique_ptr<ShardRelay> relay;  // made on its own thread, taken down when all stand still
  shard::Loop* loop = nullptr;
};

class Supervisor final {
 public:
  Supervisor(std::string file, const config::Settings& settings)
      : file_(std::move(file)),
        settings_(settings),
        current_(std::make_shared<const config::Settings>(settings)),
        exchange_(settings.shards),
        clients_(std::make_unique<server::ClientTable>()),
        auth_(std::make_unique<server::AuthShared>()),
        snapshots_(settings.shards),
        threads_(settings.shards),
        operator_(settings, exchange_, snapshots_, [this] { return reload(); }) {}
  ~Supervisor() { end_shards(); }

  Status start();
  void wait_for_end();

 private:
  Status recover_spool();
  Status start_shards();
  Status open_doors();
  void shard_main(ShardId id, int cpu, std::promise<Status> started);
  bool on_every_shard(const Task::Slice& slice);
  nlohmann::json reload();
  std::vector<std::shared_ptr<tls::ServerContext>> new_tls_contexts(nlohmann::json& answer);
  bool drained();
  void drain();
  void end_shards();

  const std::string file_;
  const config::Settings& settings_;  // those of the start
  std::mutex reload_lock_;            // between signals and the control socket
  std::shared_ptr<const config::Settings> current_;
  client::Credentials credentials_;  // outlives the shards
  Exchange exchange_;
  std::unique_ptr<server::ClientTable> clients_;
  std::unique_ptr<server::AuthShared> auth_;
  std::vector<http::SnapshotCell<http::ShardSnapshot>> snapshots_;
  std::unique_ptr<spool::Recovery> recovery_;
  std::vector<ShardThread> threads_;
  Operator operator_;
  std::unique_ptr<RouteKeeper> routes_;
  TicketKeeper tickets_;
  std::unique_ptr<http::MetricsServer> metrics_;
  std::unique_ptr<http::ControlServer> control_;
  sigset_t signals_{};
};

// Two relays on one port would share its connections by SO_REUSEPORT without a word.
Status check_free(const SocketAddress& address) {
  if (address.port() == 0) return {};
  const int fd = ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail_errno("no socket to listen on " + address.text(), errno);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const int bound = ::bind(fd, address.get(), address.length);
  const int code = errno;
  ::close(fd);
  if (bound == 0) return {};
  if (code == EADDRINUSE) {
    return fail("another program listens on " + address.text() +
                    " already: see 'ss -ltnp', or choose another [server] listen",
                code);
  }
  if (code == EACCES) {
    return fail(
        "no permission to listen on " + address.text() +
            ": ports below 1024 need CAP_NET_BIND_SERVICE (AmbientCapabilities= in the unit)",
        code);
  }
  return fail_errno("cannot listen on " + address.text(), code);
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

Status Supervisor::start() {
  raise_descriptor_limit();
  signal(SIGPIPE, SIG_IGN);
  sigemptyset(&signals_);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals_, number);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);  // inherited: only the supervisor takes them

  for (const auto* listeners : {&settings_.server.listeners, &settings_.server.tls.listeners}) {
    for (const SocketAddress& address : *listeners) {
      if (Status fine = check_free(address); !fine) return fine;
    }
  }
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

void Supervisor::wait_for_end() {
  for (;;) {
    int number = 0;
    if (sigwait(&signals_, &number) != 0) continue;
    if (number != SIGHUP) {
      log(LogLevel::info, "{}: finishing what is in flight", strsignal(number));
      break;
    }
    log(LogLevel::info, "SIGHUP: the configuration is read and the event file opened anew");
    reload();
    on_every_shard([](ShardRelay& relay) {
      relay.reopen_events();
      return true;
    });
  }
  sd_notify(0, "STOPPING=1");
  drain();
}

// Reads the file anew: with a mistake in it, nothing changes. What needs a start keeps its value
// until then.
nlohmann::json Supervisor::reload() {
  const std::lock_guard guard(reload_lock_);
  config::Loaded loaded = config::load(file_, config::this_machine());
  nlohmann::json answer{{"errors", nlohmann::json::array()},
                        {"warnings", nlohmann::json::array()},
                        {"changes", nlohmann::json::array()}};
  for (const config::Problem& problem : loaded.errors) {
    answer["errors"].push_back(config::text(loaded, problem));
    log(LogLevel::error, "{}", config::text(loaded, problem));
  }
  if (!loaded.errors.empty()) {
    log(LogLevel::error, "{} has mistakes: the relay goes on as before", file_);
    return answer;
  }
  for (const config::Problem& problem : loaded.warnings) {
    answer["warnings"].push_back(config::text(loaded, problem));
    log(LogLevel::warning, "{}", config::text(loaded, problem));
  }
  std::vector<std::shared_ptr<dkim::KeyRing>>
      keys;  // for each shard; read here, where it stalls none
  for (uint32_t shard = 0; shard < settings_.shards; ++shard) {
    auto ring = load_keys(loaded.settings.server.dkim);
    if (!ring) {
      answer["errors"].push_back(ring.error().message);
      log(LogLevel::error, "{}: the relay goes on as before", ring.error().message);
      return answer;
    }
    keys.push_back(std::move(*ring));
  }
  const config::Settings asked = loaded.settings;
  config::keep_until_start(loaded.settings, *current_);
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
  current_ = std::make_shared<const config::Settings>(std::move(loaded.settings));
  set_log_level(current_->log_level);
  const auto contexts = new_tls_contexts(answer);
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

// Made here, where nobody waits, out of what the files hold now; sessions keep what they began
// with.
std::vector<std::shared_ptr<tls::ServerContext>> Supervisor::new_tls_contexts(
    nlohmann::json& answer) {
  std::vector<std::shared_ptr<tls::ServerContext>> contexts(current_->shards);
  for (uint16_t number = 0; number < current_->shards; ++number) {
    auto made = server::make_tls_context(current_->server.tls,
                                         threads_[number].relay->server().handshake_budget());
    if (made) {
      contexts[number] = std::move(*made);
    } else {  // what the check of the file has let pass
      answer["warnings"].push_back("TLS is not offered: " + made.error().message);
      log(LogLevel::error, "TLS is not offered: {}", made.error().message);
      break;
    }
  }
  return contexts;
}

bool Supervisor::drained() {
  auto all = std::make_shared<std::atomic<bool>>(true);
  const bool answered = on_every_shard([all](ShardRelay& relay) {
    if (!relay.drained()) all->store(false);
    return true;
  });
  return answered && all->load();
}

// Ends intake and lets deliveries finish, for shutdown_max at most; then only what must be on disk
// is waited for. A second signal cuts it short.
void Supervisor::drain() {
  control_.reset();
  on_every_shard([](ShardRelay& relay) {
    relay.begin_stop();
    return true;
  });
  const auto clock = [] { return std::chrono::steady_clock::now(); };
  const auto deadline = clock() + std::chrono::milliseconds(current_->shutdown_max.count);
  int quiet = 0;  // twice in a row: a letter may have been on its way at the first look
  while (quiet < 2 && clock() < deadline) {
    quiet = drained() ? quiet + 1 : 0;
    if (quiet >= 2) break;
    const timespec pause{0, 10'000'000};
    if (sigtimedwait(&signals_, nullptr, &pause) > 0) {
      log(LogLevel::warning, "second signal: what is in flight is left to the next start");
      return;
    }
  }
  if (quiet >= 2) {
    log(LogLevel::info, "everything in flight is finished; what is queued stays in the spool");
    return;
  }
  log(LogLevel::warning,
      "shutdown_max is over: deliveries still in flight are tried again at the next start");
  on_every_shard([](ShardRelay& relay) {
    relay.abort_sessions();
    return true;
  });
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

}  // namespace

int serve(const config::Loaded& configuration) {
  config::Settings complete = configuration.settings;
  complete_dns_settings(complete);
  Supervisor supervisor(configuration.file, complete);
  if (Status started = supervisor.start(); !started) {
    log(LogLevel::error, "{}", started.error().message);
    return 1;
  }
  supervisor.wait_for_end();
  return 0;
}

}  // namespace ringmta::relay
