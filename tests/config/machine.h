// SPDX-License-Identifier: GPL-3.0-or-later
// What the tests of this room share: a machine that is always the same, and the least a file needs.
#pragma once

#include <string>
#include <string_view>

#include "ringmta/config/load.h"

namespace ringmta::config {

inline Machine a_machine() { return {{0, 1, 2, 3}, 16ULL << 30, 1'000'000}; }

// Lines 1 to 5; what a test adds begins at line 6.
inline constexpr std::string_view kLeast =
    "hostname = \"relay.example.org\"\n"
    "[[route]]\n"
    "name = \"all\"\n"
    "domains = [\"*\"]\n"
    "hosts = [\"192.0.2.25:25\"]\n";

inline Loaded parse_with(std::string_view more, const Machine& machine = a_machine()) {
  return parse(std::string(kLeast) + std::string(more), "test.toml", machine);
}

inline std::string all_texts(const Loaded& loaded) {
  std::string all;
  for (const Problem& problem : loaded.errors) all += text(loaded, problem) + "\n";
  for (const Problem& problem : loaded.warnings) all += "warning: " + text(loaded, problem) + "\n";
  return all;
}

}  // namespace ringmta::config
