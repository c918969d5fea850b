// SPDX-License-Identifier: GPL-3.0-or-later
// The running relay, made of its rooms: N shards, each a thread of its own, and one supervisor that
// starts them, resolves names, answers the operator and ends them.
//
// Life: bind the ports, give up root and what else a relay has no use for (docs/security.md), lock
// and recover the spool, start every shard, listen only when all of them stand; SIGTERM
// and SIGINT stop intake, finish what is in flight within `shutdown_max` and keep the rest in the
// spool; a second one ends at once. SIGHUP reads the configuration anew, as `ringmta reload` does,
// and opens the event file anew (log rotation).
#pragma once

#include "ringmta/config/load.h"
#include "ringmta/process/command_runner.h"

namespace ringmta::relay {

// Before the configuration and the secrets it names are read: makes the process that runs the
// commands which the file names, then and after reloads.
Status start_runner(process::CommandRunner& runner, const std::string& configuration);

// Runs until told to end. The exit status: 0 after an orderly end, 1 when it could not start (the
// log says why).
int serve(const config::Loaded& configuration, process::CommandRunner& runner);

}  // namespace ringmta::relay
