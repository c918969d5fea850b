// SPDX-License-Identifier: GPL-3.0-or-later
// What no single key can tell: whether the settings fit the machine and each other.
#pragma once

#include "problems.h"

namespace ringmta::config {

// Puts numbers where the file leaves the choice: shards, memory, waits derived from others, and the
// names every room wants to know.
void fit_to_machine(Settings& settings, const Machine& machine, const Problems& problems);

// Reads the users file that the settings name.
void read_users(Settings& settings, Problems& problems);

// All checks, those of the routes too.
void check_together(const Settings& settings, const Machine& machine, Problems& problems);

void check_routes(const Settings& settings, Problems& problems);
void check_dkim(const Settings& settings, Problems& problems);
void check_dkim_files(const Settings& settings, Problems& problems);  // reads the keys
void check_schedules(const Settings& settings, Problems& problems);
// Reads the files of [server.tls] into the settings, too.
void check_tls_in(Settings& settings, Problems& problems);

}  // namespace ringmta::config
