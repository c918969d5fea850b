// SPDX-License-Identifier: GPL-3.0-or-later
// A relay's life from outside: ports are bound, rights are given up, the supervisor does the rest.
#include "ringmta/relay/serve.h"

#include "mail_domains.h"
#include "privileges.h"
#include "ringmta/base/log.h"
#include "ringmta/ring/listening.h"
#include "supervisor.h"

namespace ringmta::relay {

namespace {

// While the process may; who listens later finds them.
Status bind_ports(const config::Settings& settings) {
  for (const auto* listeners : {&settings.server.listeners, &settings.server.tls.listeners}) {
    for (const SocketAddress& address : *listeners) {
      if (Status fine = ring::bind_ahead(address, settings.shards); !fine) return fine;
    }
  }
  for (const SocketAddress& address : settings.metrics.listen) {
    if (Status fine = ring::bind_ahead(address, 1); !fine) return fine;
  }
  return {};
}

}  // namespace

int serve(const config::Loaded& configuration, process::CommandRunner& runner) {
  const auto failed = [](const Error& error) {
    log(LogLevel::error, "{}", error.message);
    return 1;
  };
  if (Status fine = bind_ports(configuration.settings); !fine) return failed(fine.error());
  if (Status fine = give_up_privileges(configuration, runner); !fine) return failed(fine.error());
  config::Settings complete = configuration.settings;
  complete_dns_settings(complete);
  Supervisor supervisor(configuration.file, complete, runner);
  if (Status started = supervisor.start(); !started) return failed(started.error());
  supervisor.wait_for_end();
  return 0;
}

}  // namespace ringmta::relay
