// SPDX-License-Identifier: GPL-3.0-or-later
// Commands that print tokens, and who may run them: the runner (process/command_runner.h) looks a
// command up in the configuration file by itself.
#pragma once

#include <string>
#include <vector>

#include "ringmta/config/settings.h"
#include "ringmta/process/command_runner.h"

namespace ringmta::relay {

std::vector<process::Command> token_commands(const config::Settings& settings);

}  // namespace ringmta::relay
