// SPDX-License-Identifier: GPL-3.0-or-later
// From a TOML file to Settings, with every mistake of the file told at once.
//
// The insight: a configuration is read seldom and by people who are in a hurry. So reading never
// stops at the first mistake, each mistake names file, line and key and says what to write instead,
// and what is merely unwise is a warning that does not keep the relay from starting.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/config/settings.h"

namespace ringmta::config {

struct Problem {
  uint32_t line = 0;  // 0: of the file as a whole
  std::string key;    // "server.listen", "route.hosts"; empty: none in particular
  std::string what;   // a sentence with its remedy
};

struct Loaded {
  std::string file;
  Settings settings;              // whole and consistent only when there are no errors
  std::vector<Problem> errors;    // in the order of the file's lines
  std::vector<Problem> warnings;  // likewise
};

// "FILE:LINE: KEY: what"
std::string text(const Loaded& loaded, const Problem& problem);

// What limits are compared with, and what "auto" means.
struct Machine {
  std::vector<int> cpus;        // those this process may use
  uint64_t memory = 0;          // octets, of the machine or of the control group; 0: not known
  uint64_t open_files_max = 0;  // RLIMIT_NOFILE, the hard one; 0: not known
};
Machine this_machine();

// With the files that the configuration names (users, certificates, DKIM keys), which parse()
// leaves alone.
Loaded load(const std::string& file, const Machine& machine);
// Without them.
Loaded parse(std::string_view toml, std::string file, const Machine& machine);

// docs/configuration.md, from the table of keys.
std::string reference();

// Memory that all shards may take together, at their limits.
uint64_t memory_at_limits(const Settings& settings);

// Every key with the value in force, as a file that gives the same settings.
std::string effective(const Settings& settings);

// What differs between two configurations, key by key; "route" when routes came, went or changed
// places.
struct Change {
  std::string key;        // "server.sessions_max", "route new: hosts"
  std::string from, to;   // as TOML
  bool at_start = false;  // takes effect at the next start only
};
std::vector<Change> changes(const Settings& from, const Settings& to);
// Puts back into `fresh` what a running relay cannot change, so that it can obey the rest.
void keep_until_start(Settings& fresh, const Settings& running);

}  // namespace ringmta::config
