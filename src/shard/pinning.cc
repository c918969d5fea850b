// SPDX-License-Identifier: GPL-3.0-or-later
// Processor lists as operators write them, and the system calls that obey them.
//
// Limit: processors 0 to 1023, as glibc's fixed cpu_set_t has it.
#include "ringmta/shard/pinning.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>

#include "ringmta/base/types.h"

namespace ringmta::shard {
namespace {

constexpr int kCpuMax = CPU_SETSIZE - 1;

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<int> parse_cpu(std::string_view text) {
  text = trimmed(text);
  if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
  int value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, value);
  if (problem != std::errc{} || stop != end || value > kCpuMax) return std::nullopt;
  return value;
}

std::string numbers_text(const std::vector<int>& numbers) {
  std::string text;
  for (const int number : numbers) {
    if (!text.empty()) text += ',';
    text += std::to_string(number);
  }
  return text;
}

}  // namespace

Result<std::vector<int>> parse_cpus(std::string_view text) {
  const std::string whole = "\"" + std::string(text) + "\"";
  std::vector<int> cpus;
  for (std::string_view rest = text;;) {
    const size_t comma = rest.find(',');
    const std::string_view part = trimmed(rest.substr(0, comma));
    const size_t dash = part.find('-');
    const std::optional<int> first = parse_cpu(part.substr(0, dash));
    const std::optional<int> last =
        dash == std::string_view::npos ? first : parse_cpu(part.substr(dash + 1));
    if (!first || !last) {
      return fail("cannot read \"" + std::string(part) + "\" in the processor list " + whole +
                  ": write numbers from 0 to " + std::to_string(kCpuMax) +
                  " and ranges, such as \"0-3,8\"");
    }
    if (*last < *first) {
      return fail("the range " + std::string(part) + " in the processor list " + whole +
                  " runs backwards: write " + std::to_string(*last) + "-" + std::to_string(*first));
    }
    for (int cpu = *first; cpu <= *last; ++cpu) {
      if (std::find(cpus.begin(), cpus.end(), cpu) != cpus.end()) {
        return fail("processor " + std::to_string(cpu) + " is named twice in the list " + whole +
                    ": every shard needs its own");
      }
      cpus.push_back(cpu);
    }
    if (comma == std::string_view::npos) return cpus;
    rest.remove_prefix(comma + 1);
  }
}

std::vector<int> available_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int cpu = 0; cpu <= kCpuMax; ++cpu) {
      if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
    }
  }
  if (cpus.empty()) cpus.push_back(0);  // more than 1024 of them: the kernel refuses the short set
  return cpus;
}

Status check_cpus(const std::vector<int>& cpus) {
  const std::vector<int> available = available_cpus();
  for (const int cpu : cpus) {
    if (std::find(available.begin(), available.end(), cpu) == available.end()) {
      return fail("this process may not use processor " + std::to_string(cpu) +
                      "; it may use: " + numbers_text(available) +
                      " (see taskset, the unit's CPUAffinity= and the container's cpuset)",
                  EINVAL);
    }
  }
  return {};
}

uint32_t automatic_shards() {
  return std::min(static_cast<uint32_t>(available_cpus().size()), kShardsMax);
}

Status pin_this_thread(int cpu) {
  if (cpu < 0 || cpu > kCpuMax) {
    return fail("there is no processor " + std::to_string(cpu), EINVAL);
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (const int code = pthread_setaffinity_np(pthread_self(), sizeof set, &set); code != 0) {
    return fail_errno("cannot pin a shard to processor " + std::to_string(cpu) +
                          " (is it there, and may this process use it?)",
                      code);
  }
  return {};
}

void name_this_thread(const std::string& name) {
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
}

}  // namespace ringmta::shard
