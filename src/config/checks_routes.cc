// SPDX-License-Identifier: GPL-3.0-or-later
// Whether the routes can be told apart and lead anywhere.
#include <fmt/format.h>

#include <map>
#include <string>
#include <vector>

#include "checks.h"

namespace ringmta::config {
namespace {

// A relay that delivers to itself sends mail round until its hops are counted out.
void check_own_listener(const Settings& settings, size_t route, const std::string& host,
                        Problems& problems) {
  const auto address = parse_socket_address(host, 25);
  if (!address) return;
  for (const SocketAddress& listener : settings.server.listeners) {
    const std::string any = listener.host_text();
    const bool all_of_it = (any == "0.0.0.0" || any == "::") && address->is_loopback() &&
                           address->port() == listener.port();
    if (listener == *address || all_of_it) {
      problems.error(
          problems.line_of("route.hosts", route), "route.hosts",
          fmt::format("{} is this relay's own listener: mail would go round in a loop", host));
    }
  }
}

}  // namespace

void check_routes(const Settings& settings, Problems& problems) {
  const std::vector<queue::Route>& routes = settings.queue.routes;
  std::map<std::string, uint32_t> names;
  std::map<std::string, std::string> domains;  // whose they are
  for (size_t i = 0; i < routes.size(); ++i) {
    const queue::Route& route = routes[i];
    const auto line = [&](const char* path) { return problems.line_of(path, i); };
    const auto given_empty = [&](const char* path, const std::vector<std::string>& list) {
      return list.empty() && line(path) != 0 && !problems.refused(path, i);
    };
    const auto [before, fresh] = names.emplace(route.name, line("route.name"));
    if (!fresh && !route.name.empty()) {
      problems.error(line("route.name"), "route.name",
                     fmt::format("\"{}\" is the name of the route in line {} too: choose another",
                                 route.name, before->second));
    }
    for (const std::string& domain : route.domains) {
      const auto [owner, first] = domains.emplace(domain, route.name);
      if (!first) {
        problems.error(line("route.domains"), "route.domains",
                       fmt::format("\"{}\" is served by the route \"{}\" already: take it out of "
                                   "one of them",
                                   domain, owner->second));
      }
    }
    if (given_empty("route.domains", route.domains)) {
      problems.error(line("route.domains"), "route.domains",
                     "is empty: write domains = [\"*\"] for all that no other route serves");
    }
    if (given_empty("route.hosts", route.hosts)) {
      problems.error(line("route.hosts"), "route.hosts",
                     "is empty: write where this mail goes, such as hosts = "
                     "[\"smtp.example.net:25\"]");
    }
    for (const std::string& host : route.hosts) {
      check_own_listener(settings, i, host, problems);
      if (host.starts_with('/') && !route.lmtp) {
        problems.error(line("route.hosts"), "route.hosts",
                       fmt::format("{} is a Unix socket: set lmtp = true if it speaks LMTP", host));
      }
    }
  }
}

}  // namespace ringmta::config
