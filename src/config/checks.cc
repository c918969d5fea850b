// SPDX-License-Identifier: GPL-3.0-or-later
// One function per thing that can be inconsistent. A problem is told at the line of a key that the
// file gives: the defaults agree with each other, so one of those involved is given.
#include "checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <set>

#include "key.h"
#include "ringmta/config/units.h"
#include "ringmta/ring/io.h"

namespace ringmta::config {
namespace {

constexpr uint64_t kBlock = 4096;         // what O_DIRECT writes in
constexpr uint64_t kEnvelopeMax = 65536;  // of a message in the spool, without its recipients
constexpr uint64_t kRecipientMax = 512;   // address and ORCPT of one

uint64_t head_max(const Settings& s) {
  return kEnvelopeMax + kRecipientMax * s.server.session.recipients_max;
}

// "0, 2-7": in order.
std::string numbers_text(std::vector<int> numbers) {
  std::ranges::sort(numbers);
  std::string text;
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (!text.empty()) text += ", ";
    text += std::to_string(numbers[i]);
    const size_t first = i;
    while (i + 1 < numbers.size() && numbers[i + 1] <= numbers[i] + 1) ++i;
    if (i > first) text += "-" + std::to_string(numbers[i]);
  }
  return text;
}

std::string shards_text(uint32_t shards) {
  return fmt::format("{} shard{}", shards, shards == 1 ? "" : "s");
}

class Checks final {
 public:
  Checks(const Settings& settings, const Machine& machine, Problems& problems)
      : s(settings), machine_(machine), problems_(problems) {}

  void shards();
  void memory();
  void sockets();
  void listeners();
  void spool();
  void waits();
  void dangers();

 private:
  // The first of `paths` that the file gives is where the problem is told.
  void error(std::initializer_list<const char*> paths, std::string what) {
    const auto [path, line] = first_given(paths);
    problems_.error(line, path, std::move(what));
  }
  void warning(std::initializer_list<const char*> paths, std::string what) {
    const auto [path, line] = first_given(paths);
    problems_.warning(line, path, std::move(what));
  }
  std::pair<std::string, uint32_t> first_given(std::initializer_list<const char*> paths) const {
    for (const char* path : paths) {
      if (const uint32_t line = problems_.line_of(path); line != 0) return {path, line};
    }
    return {*paths.begin(), 0};
  }

  const Settings& s;  // NOLINT(readability-identifier-naming): named in every line of this file
  const Machine& machine_;
  Problems& problems_;
};

void Checks::shards() {
  std::vector<int> barred;
  for (const int cpu : s.cpus) {
    if (std::ranges::find(machine_.cpus, cpu) == machine_.cpus.end()) barred.push_back(cpu);
  }
  if (!barred.empty()) {
    error({"shards.cpus"},
          fmt::format("this process may not use {} {}; it may use {} (see taskset, the unit's "
                      "CPUAffinity= and the container's cpuset)",
                      barred.size() == 1 ? "processor" : "processors", numbers_text(barred),
                      numbers_text(machine_.cpus)));
  }
  if (!s.cpus.empty() && s.shards > s.cpus.size()) {
    warning({"shards.count"},
            fmt::format("{} shards share {} processors: name as many in cpus, or leave count to "
                        "\"auto\"",
                        s.shards, s.cpus.size()));
  } else if (s.cpus.empty() && s.shards > machine_.cpus.size()) {
    warning({"shards.count"},
            fmt::format("{} shards for {} processors: each takes turns with others; \"auto\" gives "
                        "one per processor",
                        s.shards, machine_.cpus.size()));
  }
}

// What the file asks for must fit. Where it asks for nothing and the machine is small for its
// processors, a start with a warning is of more use than none.
void Checks::memory() {
  const uint64_t needed = memory_at_limits(s);
  if (machine_.memory == 0 || needed <= machine_.memory) return;
  const auto keys = {"spool.memory_max",     "events.buffer_max",        "dns.cache.memory_max",
                     "ring.receive_buffers", "ring.receive_buffer_size", "shards.count"};
  std::string what = fmt::format(
      "at their limits {} may take {} MiB of memory, the machine has {} MiB: lower "
      "[spool] memory_max (per shard, now {}) or the number of shards",
      shards_text(s.shards), needed >> 20, machine_.memory >> 20, format_size(s.spool.memory_max));
  if (first_given(keys).second != 0) {
    error(keys, std::move(what));
  } else {
    warning(keys, std::move(what));
  }
}

void Checks::sockets() {
  const uint64_t wanted = uint64_t{s.server.sessions_max} + s.client.connections_max;
  if (wanted > s.io.streams_max) {
    error({"server.sessions_max", "client.connections_max", "ring.streams_max"},
          fmt::format(
              "[server] sessions_max ({}) and [client] connections_max ({}) are {} together, "
              "[ring] streams_max has room for {}: set it to {}",
              s.server.sessions_max, s.client.connections_max, wanted, s.io.streams_max, wanted));
  }
  const uint64_t files = s.server.sessions_max + uint64_t{s.client.connections_max} * s.shards +
                         open_files_besides(machine_);
  if (machine_.open_files_max != 0 && files > machine_.open_files_max) {
    Settings shared = s;
    share_out_open_files(shared, machine_);
    warning({"server.sessions_max", "client.connections_max", "shards.count"},
            fmt::format("{} with their sessions and connections may need {} open files, the "
                        "limit is {}: raise it (LimitNOFILE= in the unit, ulimit -Hn), or lower "
                        "[server] sessions_max and [client] connections_max. Until then they are "
                        "{} and {}",
                        shards_text(s.shards), files, machine_.open_files_max,
                        shared.server.sessions_max, shared.client.connections_max));
  }
}

void Checks::listeners() {
  if (s.server.listeners.empty() && !problems_.refused("server.listen")) {
    error({"server.listen"},
          "is empty: no mail could come in; write addresses, such as \"127.0.0.1:25\"");
  }
  std::set<std::string> seen;
  for (const SocketAddress& address : s.server.listeners) {
    if (!seen.insert(address.text()).second) {
      error({"server.listen"}, fmt::format("{} stands there twice: take one out", address.text()));
    }
    if (address.port() == 0 && s.shards > 1) {
      error({"server.listen"}, fmt::format("port 0 would give each of {} shards another port: "
                                           "write a port, or set [shards] count = 1",
                                           s.shards));
    }
  }
  if (s.resolver.servers.size() > dns::kServersMax) {
    error({"dns.servers"}, fmt::format("has {} servers, {} are possible", s.resolver.servers.size(),
                                       dns::kServersMax));
  }
  for (const SocketAddress& address : s.metrics.listen) {
    if (address.port() != 0 && !seen.insert(address.text()).second) {
      error({"metrics.listen"},
            fmt::format("{} is taken already, by [server] listen or by this list: choose another "
                        "port",
                        address.text()));
    }
  }
}

void Checks::spool() {
  if (s.spool.segment_size % kBlock != 0) {
    error({"spool.segment_size"},
          fmt::format("{} is not a multiple of 4KiB, which the disk is written in: write \"{}\"",
                      format_size(s.spool.segment_size),
                      format_size((s.spool.segment_size + kBlock - 1) / kBlock * kBlock)));
  }
  const uint64_t largest = s.server.session.message_size_max + head_max(s);
  if (largest > s.spool.segment_size) {
    const uint64_t mebibytes = (largest + (1 << 20) - 1) >> 20;
    error(
        {"spool.segment_size", "server.message_size_max", "server.recipients_max"},
        fmt::format("a message of [server] message_size_max ({}) with recipients_max ({}) "
                    "recipients does not fit in a segment ({}): set [spool] segment_size to "
                    "\"{}MiB\" or more",
                    format_size(s.server.session.message_size_max), s.server.session.recipients_max,
                    format_size(s.spool.segment_size), mebibytes));
  }
  if (s.server.session.message_size_max > s.spool.memory_max) {
    error({"spool.memory_max", "server.message_size_max"},
          fmt::format("a message of [server] message_size_max ({}) does not fit in [spool] "
                      "memory_max ({}): raise the one or lower the other",
                      format_size(s.server.session.message_size_max),
                      format_size(s.spool.memory_max)));
  }
  const uint64_t least = s.spool.segment_size * (uint64_t{s.spool.segments_ready} + 2);
  if (s.spool.disk_max != 0 && s.spool.disk_max < least) {
    error({"spool.disk_max", "spool.segment_size", "spool.segments_ready"},
          fmt::format("{} has no room for segments_ready ({}) and two more segments of {}: set "
                      "disk_max to \"{}\" or more, or 0",
                      format_size(s.spool.disk_max), s.spool.segments_ready,
                      format_size(s.spool.segment_size), format_size(least)));
  }
}

void Checks::waits() {
  if (s.client.host_retry_longest < s.client.host_retry_after) {
    error(
        {"client.host_retry_longest", "client.host_retry_after"},
        fmt::format("host_retry_longest ({}) is shorter than host_retry_after ({}): exchange them "
                    "or leave host_retry_longest out",
                    format_duration(s.client.host_retry_longest),
                    format_duration(s.client.host_retry_after)));
  }
  if (s.resolver.attempt_timeout_max < s.resolver.attempt_timeout) {
    error({"dns.attempt_timeout_max", "dns.attempt_timeout"},
          fmt::format("attempt_timeout_max ({}) is shorter than attempt_timeout ({}): exchange "
                      "them or leave attempt_timeout_max out",
                      format_duration(s.resolver.attempt_timeout_max),
                      format_duration(s.resolver.attempt_timeout)));
  }
  if (s.resolver.cache.ttl_max < s.resolver.cache.ttl_min) {
    error({"dns.cache.ttl_max", "dns.cache.ttl_min"},
          fmt::format("ttl_max ({}) is shorter than ttl_min ({})",
                      format_duration(s.resolver.cache.ttl_max),
                      format_duration(s.resolver.cache.ttl_min)));
  }
}

void Checks::dangers() {
  for (const Network& network : s.server.relay_networks) {
    if (network.text().ends_with("/0")) {
      warning({"server.relay_networks"},
              fmt::format("{} lets everybody who can connect send to anywhere: an open relay is "
                          "found within hours and listed; name your own networks",
                          network.text()));
    }
  }
  if (s.spool.durability == spool::DurabilityMode::relaxed) {
    warning({"spool.durability"}, "\"relaxed\": a power failure loses mail that was accepted");
  }
  if (!s.control.socket.empty() && (s.control.mode & 0007) != 0) {
    warning({"control.mode"},
            fmt::format("{:04o} lets every user of this machine list, retry and remove mail: write "
                        "\"0600\", or \"0660\" for a group of operators",
                        s.control.mode));
  }
  if (const uint32_t length = s.server.session.text_line_length_max; length > 0 && length < 998) {
    warning({"server.text_line_length_max"},
            fmt::format("{} is less than the 998 octets that RFC 5321 lets a line have", length));
  }
  if (!s.hostname.empty() && s.hostname.find('.') == std::string::npos) {
    warning({"hostname"},
            fmt::format("\"{}\" has no domain: many hosts refuse mail from a name that is not full",
                        s.hostname));
  }
}

}  // namespace

void check_together(const Settings& settings, const Machine& machine, Problems& problems) {
  Checks checks(settings, machine, problems);
  checks.shards();
  checks.memory();
  checks.sockets();
  checks.listeners();
  checks.spool();
  checks.waits();
  check_schedules(settings, problems);
  check_routes(settings, problems);
  check_dkim(settings, problems);
  checks.dangers();
}

}  // namespace ringmta::config
