// SPDX-License-Identifier: GPL-3.0-or-later
// Small calls to the system that block, made before, after or beside the threads that move mail.
#include "tools/common/process.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iterator>

namespace ringmta::tools {

CpuTimes process_cpu_times() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto to_seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return {to_seconds(usage.ru_utime), to_seconds(usage.ru_stime)};
}

uint64_t monotonic_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000U + static_cast<uint64_t>(time.tv_nsec);
}

Status write_whole_file(const std::string& path, std::string_view content) {
  const std::string temporary = fmt::format("{}.{}.new", path, getpid());
  {
    std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
    file.close();
    if (!file) {
      const int code = errno;
      std::remove(temporary.c_str());
      return fail_errno(fmt::format("cannot write {}", temporary), code);
    }
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    return fail_errno(fmt::format("cannot rename {} to {}", temporary, path), errno);
  }
  return {};
}

Result<std::string> read_whole_file(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail_errno(fmt::format("cannot open {}", path), errno != 0 ? errno : ENOENT);
  std::string content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (file.bad()) return fail(fmt::format("cannot read {}: is it a regular file?", path));
  return content;
}

uint64_t raise_open_files_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

}  // namespace ringmta::tools
