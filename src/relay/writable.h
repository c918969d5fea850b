// SPDX-License-Identifier: GPL-3.0-or-later
// The directories the relay writes to: made for the user that it becomes, and looked at by that
// user, so that what is wrong with them is told at the start and with its remedy.
#pragma once

#include <string>
#include <vector>

#include "ringmta/config/settings.h"
#include "ringmta/process/identity.h"

namespace ringmta::relay {

// Spool, events, control socket; what is configured.
std::vector<std::string> directories_written(const config::Settings& settings);

// Before becoming `identity`: those that are missing are made, for it alone (the spool) or for it
// and its group. Durable.
Status make_directories(const config::Settings& settings, const process::Identity& identity);

// As the relay's user: whether it can write where it must. A spool that is open to every user of
// the machine is closed to them.
Status check_directories(const config::Settings& settings, const process::Identity& identity);

}  // namespace ringmta::relay
