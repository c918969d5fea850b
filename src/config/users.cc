// SPDX-License-Identifier: GPL-3.0-or-later
// The users file, read with the configuration that names it: a mistake in either keeps the relay
// from starting, and is told with file and line.
#include <fmt/format.h>

#include "checks.h"

namespace ringmta::config {

void read_users(Settings& settings, Problems& problems) {
  server::AuthOptions& auth = settings.server.auth;
  if (auth.users_file.empty() || problems.refused("auth.users")) return;
  std::vector<sasl::UserFault> faults;
  auth.users = sasl::Users::load(auth.users_file, faults);
  const uint32_t line = problems.line_of("auth.users");
  for (const sasl::UserFault& fault : faults) {
    const std::string where =
        fault.line == 0 ? auth.users_file : fmt::format("{}:{}", auth.users_file, fault.line);
    problems.error(line, "auth.users", fmt::format("{}: {}", where, fault.message));
  }
  if (auth.users != nullptr && !auth.users->has_secret()) {
    problems.warning(line, "auth.users",
                     fmt::format("{} has no !secret: line, so after a start who asks can tell "
                                 "names that exist from others; 'ringmta password NAME --file {}' "
                                 "writes one",
                                 auth.users_file, auth.users_file));
  }
}

}  // namespace ringmta::config
