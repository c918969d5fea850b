// SPDX-License-Identifier: GPL-3.0-or-later
// `ringmta serve` and `ringmta check`: both read the configuration the same way, so what check
// calls fine is what serve starts.
#include <fmt/format.h>

#include <algorithm>
#include <ostream>
#include <string>

#include "commands.h"
#include "ringmta/base/log.h"
#include "ringmta/base/version.h"
#include "ringmta/config/load.h"
#include "ringmta/config/units.h"
#include "ringmta/process/identity.h"
#include "text.h"

namespace ringmta::cli {
namespace {

using config::format_duration;
using config::format_size;

void print_problems(const config::Loaded& loaded, const Console& console) {
  for (const config::Problem& problem : loaded.errors) {
    console.err << text(loaded, problem) << '\n';
  }
  for (const config::Problem& problem : loaded.warnings) {
    console.err << "warning: " << text(loaded, problem) << '\n';
  }
}

template <typename T, typename Text>
std::string listed(const std::vector<T>& elements, Text&& text) {
  std::string all;
  for (const T& element : elements) {
    if (!all.empty()) all += ", ";
    all += text(element);
  }
  return all.empty() ? "none" : all;
}

std::string addresses_text(const std::vector<SocketAddress>& addresses) {
  return listed(addresses, [](const SocketAddress& address) { return address.text(); });
}

std::string same(const std::string& text) { return text; }

std::string shards_text(const config::Settings& settings) {
  if (settings.cpus.empty()) return fmt::format("{}, not pinned", settings.shards);
  return fmt::format("{}, pinned to processors {}", settings.shards,
                     listed(settings.cpus, [](int cpu) { return std::to_string(cpu); }));
}

std::string spool_text(const config::Settings& settings) {
  return fmt::format("{}, segments of {}, {}", settings.spool.directory,
                     format_size(settings.spool.segment_size),
                     settings.spool.durability == spool::DurabilityMode::sync
                         ? "a 250 follows stable storage"
                         : "RELAXED: a power failure loses accepted mail");
}

std::string user_text(const config::ProcessSettings& process) {
  std::string text = process.user + ", if root starts it";
  if (!process.seccomp) text += ", no seccomp filter";
  if (!process.landlock) text += ", no Landlock";
  return text;
}

// What a start by root would stumble over.
void print_access(const config::Loaded& loaded, const Console& console) {
  const config::ProcessSettings& process = loaded.settings.process;
  if (!process::is_root() || process.user == "root") return;
  const auto identity = process::find_identity(process.user, process.group);
  if (!identity) {
    console.err << "warning: " << identity.error().message << '\n';
    return;
  }
  std::vector<std::string> paths;
  const auto files = config::files_read(loaded.settings, loaded.file);
  for (const config::NamedFile& file : files) paths.push_back(file.path);
  const auto unreadable = process::unreadable_files(*identity, paths);
  for (const config::NamedFile& file : files) {
    if (std::ranges::find(unreadable, file.path) == unreadable.end()) continue;
    console.err << "warning: " << config::unreadable_text(file, identity->user, identity->gid)
                << '\n';
  }
}

// The waits until the longest is reached, at most so many.
std::string retries_text(const queue::RetryOptions& retry) {
  constexpr int kShownMax = 6;
  std::string text = "after ";
  Milliseconds wait = retry.first;
  for (int shown = 0; shown < kShownMax && wait < retry.longest && retry.factor > 1; ++shown) {
    text += format_duration(wait) + ", ";
    wait.count = static_cast<int64_t>(static_cast<double>(wait.count) * retry.factor);
  }
  text += wait < retry.longest && retry.factor > 1
              ? fmt::format("... up to {}", format_duration(retry.longest))
              : fmt::format("then every {}", format_duration(std::min(wait, retry.longest)));
  return fmt::format("{}, give or take {}; returned after {}", text, percent_text(retry.jitter),
                     format_duration(retry.expire_after));
}

void print_meaning(const config::Settings& s, std::ostream& out) {
  const auto row = [&out](std::string_view name, const std::string& value) {
    out << fmt::format("  {:<11}  {}\n", name, value);
  };
  row("relay", fmt::format("{}, RingMTA {}", s.hostname, kVersion));
  row("shards", shards_text(s));
  row("listens on", addresses_text(s.server.listeners));
  if (!s.server.tls.listeners.empty()) {
    row("with TLS", addresses_text(s.server.tls.listeners));
  }
  if (s.server.tls.offered()) {
    row("certificate", listed(s.server.tls.certificates, [](const server::CertificateFiles& files) {
          return files.certificate;
        }));
  }
  row("relays for", listed(s.server.relay_networks, [](const Network& n) { return n.text(); }));
  row("limits", fmt::format("messages of {}, {} recipients each, {} sessions",
                            format_size(s.server.session.message_size_max),
                            s.server.session.recipients_max, s.server.sessions_max));
  row("spool", spool_text(s));
  for (const queue::Route& route : s.queue.routes) {
    row("route",
        fmt::format("{}: {} to {}, {} connections{}", route.name, listed(route.domains, same),
                    listed(route.hosts, same), route.connections_max, route.lmtp ? ", LMTP" : ""));
  }
  const bool all_routed =
      std::any_of(s.queue.routes.begin(), s.queue.routes.end(), [](const auto& r) {
        return std::find(r.domains.begin(), r.domains.end(), "*") != r.domains.end();
      });
  if (!all_routed) {
    row(s.queue.routes.empty() ? "route" : "",
        fmt::format("{} by MX records, {} connections a site",
                    s.queue.routes.empty() ? "all" : "all others", s.queue.mx.connections_max));
  }
  row("retries", retries_text(s.queue.retry));
  row("memory", fmt::format("{} at most", octets_text(config::memory_at_limits(s))));
  row("runs as", user_text(s.process));
  row("events", s.events.file.empty() ? "none" : s.events.file);
  row("control", s.control.socket.empty()
                     ? "none"
                     : fmt::format("{}, mode {:04o}", s.control.socket, s.control.mode));
  row("metrics", s.metrics.listen.empty() ? "none" : addresses_text(s.metrics.listen));
}

}  // namespace

int serve_command(const ServeCommand& command, const Console& console, const Serve& serve,
                  const Prepare& prepare) {
  if (const Status ready = prepare ? prepare(command.file) : Status{}; !ready) {
    return complain(console, ready.error().message, kFailed);
  }
  const config::Loaded loaded = config::load(command.file, config::this_machine());
  if (!loaded.errors.empty()) {
    print_problems(loaded, console);
    return kMistake;
  }
  set_log_level(loaded.settings.log_level);
  for (const config::Problem& problem : loaded.warnings) {
    log(LogLevel::warning, "{}", text(loaded, problem));
  }
  return serve(loaded);
}

int check_command(const CheckCommand& command, const Console& console) {
  if (command.reference) {
    console.out << config::reference();
    return kDone;
  }
  const config::Loaded loaded = config::load(command.file, config::this_machine());
  print_problems(loaded, console);
  if (!loaded.errors.empty()) {
    const size_t count = loaded.errors.size();
    console.err << fmt::format("{} mistake{} in {}; the relay would not start\n", count,
                               count == 1 ? "" : "s", command.file);
    return kMistake;
  }
  if (command.effective) {
    console.out << config::effective(loaded.settings);
    return kDone;
  }
  print_access(loaded, console);
  console.out << command.file << " is fine. It runs\n";
  print_meaning(loaded.settings, console.out);
  return kDone;
}

}  // namespace ringmta::cli
