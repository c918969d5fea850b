// SPDX-License-Identifier: GPL-3.0-or-later
// What the relay gives up at its start, in two steps: before there is a thread, all but what a
// relay needs to start; when all shards listen, what only starting needs.
#pragma once

#include <string>

#include "ringmta/config/load.h"
#include "ringmta/process/command_runner.h"

namespace ringmta::relay {

// After everything that needs root: ports are bound. Makes the directories the relay writes to, for
// the user it becomes; becomes that user; gives up capabilities, files and system calls as
// [process] says; tells in the log what is in force and what is not, and which files a later reload
// could not read. Single-threaded.
Status give_up_privileges(const config::Loaded& configuration, process::CommandRunner& runner);

// When no thread has anything left to set up.
Status confine_serving(const config::Settings& settings);

}  // namespace ringmta::relay
