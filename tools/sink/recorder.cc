// SPDX-License-Identifier: GPL-3.0-or-later
// A name that sorts in order of arrival per thread, and a rename, so that a watching test never
// reads half a file.
#include "tools/sink/recorder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

namespace ringmta::tools {
namespace {

bool write_all(int file, std::string_view data) {
  while (!data.empty()) {
    const ssize_t written = ::write(file, data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    data.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

}  // namespace

Status record_message(const std::string& directory, uint32_t thread, uint64_t sequence,
                      std::string_view envelope_lines, std::string_view message) {
  const std::string name = fmt::format("{}/{:02}-{:09}.eml", directory, thread, sequence);
  const std::string temporary = name + ".part";
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return fail_errno(fmt::format("cannot create {}", temporary), errno);
  const bool written = write_all(file, envelope_lines) && write_all(file, message);
  const int code = errno;
  if (::close(file) != 0 || !written) {
    ::unlink(temporary.c_str());
    return fail_errno(fmt::format("cannot write {}", temporary), written ? errno : code);
  }
  if (std::rename(temporary.c_str(), name.c_str()) != 0) {
    return fail_errno(fmt::format("cannot rename {}", temporary), errno);
  }
  return {};
}

}  // namespace ringmta::tools
