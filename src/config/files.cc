// SPDX-License-Identifier: GPL-3.0-or-later
#include "files.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>

namespace ringmta::config {

Result<std::string> read_file(const std::string& path, uint64_t octets_max) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"),
                                                             std::fclose);
  if (file == nullptr) return fail_errno(path, errno);
  std::string content;
  char buffer[65536];
  while (const size_t count = std::fread(buffer, 1, sizeof buffer, file.get())) {
    content.append(buffer, count);
    if (content.size() > octets_max) {
      return fail(fmt::format("{}: has more than {} octets", path, octets_max));
    }
  }
  if (std::ferror(file.get()) != 0) return fail_errno(path, errno);
  return content;
}

Result<SecretText> read_secret_file(const std::string& path, size_t octets_max) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"),
                                                             std::fclose);
  if (file == nullptr) return fail_errno(path, errno);
  std::setvbuf(file.get(), nullptr, _IONBF, 0);
  SecretText content;
  content.resize(octets_max + 1);
  const size_t count = std::fread(content.data(), 1, content.size(), file.get());
  if (std::ferror(file.get()) != 0) return fail_errno(path, errno);
  if (count > octets_max) {
    return fail(fmt::format("{}: has more than {} octets", path, octets_max));
  }
  return SecretText(content.view().substr(0, count));
}

bool is_open_to_all(const std::string& path) {
  struct stat about{};
  return ::stat(path.c_str(), &about) == 0 && (about.st_mode & S_IRWXO) != 0;
}

}  // namespace ringmta::config
