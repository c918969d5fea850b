// SPDX-License-Identifier: GPL-3.0-or-later
// The shards' threads and what stands beside them: made in order, told of changes, ended in order.
// It touches no mail. Its parts are files of their own: supervisor.cc begins and ends the shards,
// reload.cc changes them, shutdown.cc waits for signals and for what is in flight.
#pragma once

#include <signal.h>

#include <future>
#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <thread>
#include <vector>

#include "exchange.h"
#include "operator.h"
#include "ringmta/http/control_server.h"
#include "ringmta/http/metrics.h"
#include "ringmta/process/command_runner.h"
#include "route_keeper.h"
#include "shard_relay.h"
#include "task.h"
#include "ticket_keeper.h"

namespace ringmta::relay {

struct ShardThread {
  std::thread thread;
  std::unique_ptr<ShardRelay> relay;  // made on its own thread, taken down when all stand still
  shard::Loop* loop = nullptr;
};

class Supervisor final {
 public:
  Supervisor(std::string file, const config::Settings& settings, process::CommandRunner& runner);
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
  bool drained();
  bool wait_until_drained(Milliseconds at_most);
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

}  // namespace ringmta::relay
