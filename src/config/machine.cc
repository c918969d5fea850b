// SPDX-License-Identifier: GPL-3.0-or-later
// What this process may use of its machine. A control group's limit counts when it is below the
// machine's memory: in a container it is the one that kills.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "ringmta/config/load.h"
#include "ringmta/shard/pinning.h"

namespace ringmta::config {
namespace {

// Lowers `limit` to the number in `path`, if there is one ("max" is none).
void lower_to(uint64_t& limit, const std::string& path) {
  std::ifstream file(path);
  uint64_t number = 0;
  if (file >> number && number > 0) limit = std::min(limit, number);
}

// The group's own limit and those above it; cgroups(7): lines of hierarchy:controllers:path.
void lower_to_control_group(uint64_t& limit) {
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool unified = controllers.empty();
    if (!unified && controllers != "memory") continue;
    const std::string root = unified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    const std::string file = unified ? "/memory.max" : "/memory.limit_in_bytes";
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    for (;;) {
      lower_to(limit, root + path + file);
      if (path.empty()) break;
      path.erase(path.find_last_of('/'));
    }
  }
}

}  // namespace

Machine this_machine() {
  Machine machine;
  machine.cpus = shard::available_cpus();
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page = ::sysconf(_SC_PAGESIZE);
  if (pages > 0 && page > 0) {
    machine.memory = static_cast<uint64_t>(pages) * static_cast<uint64_t>(page);
    lower_to_control_group(machine.memory);
  }
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max != RLIM_INFINITY) {
    machine.open_files_max = files.rlim_max;
  }
  return machine;
}

}  // namespace ringmta::config
