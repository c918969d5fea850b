// SPDX-License-Identifier: GPL-3.0-or-later
// What no single key can tell: whether the settings fit the machine and each other.
#pragma once

#include "problems.h"

namespace ringmta::config {

// Puts numbers where the file leaves the choice: shards, memory, waits derived from others, and the
// names every room wants to know.
void fit_to_machine(Settings& settings, const Machine& machine, const Problems& problems);
// Where the limit of open files is too low for the sessions and connections asked for, each shard
// gets its share of it: then newcomers are refused or wait, and nobody else finds none left. To be
// called when the checks have told of it.
void share_out_open_files(Settings& settings, const Machine& machine);
// Descriptors that are neither sessions nor connections: files, the operator's, the libraries'.
uint64_t open_files_besides(const Machine& machine);

// Reads the users file that the settings name.
void read_users(Settings& settings, Problems& problems);

// All checks, those of the routes too.
void check_together(const Settings& settings, const Machine& machine, Problems& problems);

void check_routes(const Settings& settings, Problems& problems);
void check_dkim(const Settings& settings, Problems& problems);
void check_dkim_files(const Settings& settings, Problems& problems);  // reads the keys
// tls_out.cc: TLS and authentication at next hops. Files are read into the settings.
void fit_tls_out(Settings& settings);
void check_tls_rules(const Settings& settings, Problems& problems);  // for whom they are
void check_tls_out(const Settings& settings, Problems& problems);
void read_tls_out_files(Settings& settings, Problems& problems);
void check_schedules(const Settings& settings, Problems& problems);
// Reads the files of [server.tls] into the settings, too.
void check_tls_in(Settings& settings, Problems& problems);

}  // namespace ringmta::config
