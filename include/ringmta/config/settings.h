// SPDX-License-Identifier: GPL-3.0-or-later
// Everything an operator decides, as one plain struct.
//
// The insight: a setting lives where it is used. Each room declares its own options with their
// defaults; this struct only puts them side by side, and one table of keys (src/config/keys*.cc)
// says under which name in the file each is found. So a default is written down once, and nothing
// in here can disagree with the room that obeys it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ringmta/base/address.h"
#include "ringmta/base/log.h"
#include "ringmta/base/time.h"
#include "ringmta/client/pool.h"
#include "ringmta/dns/mx.h"
#include "ringmta/dns/resolver.h"
#include "ringmta/events/options.h"
#include "ringmta/queue/options.h"
#include "ringmta/ring/io.h"
#include "ringmta/server/options.h"
#include "ringmta/spool/spool.h"

namespace ringmta::config {

inline constexpr const char* kDefaultFile = "/etc/ringmta/ringmta.toml";

struct ControlSettings {
  std::string socket = "/run/ringmta/control.sock";  // empty: none
  uint32_t mode = 0600;
};

struct MetricsSettings {
  std::vector<SocketAddress> listen;  // empty: no metrics over HTTP
};

struct ProcessSettings {
  std::string user = "ringmta";  // whom it becomes when root starts it
  std::string group;             // empty: the user's own
  bool seccomp = true;
  bool landlock = true;
  std::vector<std::string> readable;  // directories that Landlock leaves readable beside its own
  bool core_dumps = false;
};

struct Settings {
  std::string hostname;  // in greetings, EHLO, trace lines and DSNs
  LogLevel log_level = LogLevel::info;
  Milliseconds shutdown_max = seconds(30);  // for what is in flight at SIGTERM

  uint32_t shards = 0;    // load() puts a number here; 0 only before that: one per processor
  std::vector<int> cpus;  // where they are pinned, in turn; empty: not pinned
  ring::IoOptions io;     // per shard

  server::ServerOptions server;
  spool::SpoolOptions spool;  // per shard, but for the directory
  queue::QueueOptions queue;
  client::ClientPoolOptions client;
  dns::ResolverOptions resolver;               // without servers: those of /etc/resolv.conf
  dns::MxOptions mx;                           // own_addresses: found out at start, not here
  Milliseconds resolve_interval = minutes(5);  // names of smart hosts are looked up again so often

  events::EventOptions events;
  ControlSettings control;
  MetricsSettings metrics;
  ProcessSettings process;
};

// A file that a relay with these settings reads, at its start or later.
struct NamedFile {
  std::string key;  // of the configuration; empty: the configuration itself, and the system's files
  std::string path;
};
std::vector<NamedFile> files_read(const Settings& settings, const std::string& configuration);
// What follows from the relay's user not being able to read it, and the remedy.
std::string unreadable_text(const NamedFile& file, const std::string& user, uint32_t group);

// What holds when the file says nothing, before it is fitted to a machine: the rooms' own defaults,
// and loopback as the place to listen at and to relay for.
Settings default_settings();

}  // namespace ringmta::config
