// SPDX-License-Identifier: GPL-3.0-or-later
// The relay's own account, its events, against what the world has seen.
#pragma once

#include <string>
#include <vector>

namespace ringmta::simulation {

// Each recipient was received once and came to one end. Sentences; empty: all is right. For runs
// without a crash: one may lose the last lines.
std::vector<std::string> mistakes_in(const std::string& events);

}  // namespace ringmta::simulation
