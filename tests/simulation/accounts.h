// SPDX-License-Identifier: GPL-3.0-or-later
// The relay's own account, its events, against what the world has seen.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ringmta::simulation {

// Each recipient was received once and came to one end. Sentences; empty: all is right. Each crash
// may have lost the last lines, and had an end come once more; one of the power (`torn`) may have
// left lines that are none.
std::vector<std::string> mistakes_in(const std::string& events, uint64_t crashes, bool torn);

}  // namespace ringmta::simulation
