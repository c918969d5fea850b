// SPDX-License-Identifier: GPL-3.0-or-later
// A private key from its file, and whether the file keeps it private.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "pem.h"
#include "ringmta/base/bytes.h"
#include "ringmta/dkim/key_ring.h"

namespace ringmta::dkim {
namespace {

constexpr size_t kFileMax = 65'536;  // a PEM key of 4096 bits has 3.3 KB

class File final {
 public:
  explicit File(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

std::unexpected<Error> cannot_read(const std::string& path, int code) {
  Error error = fail_errno(fmt::format("the DKIM key {} cannot be read", path), code).error();
  if (code == ENOENT) error.message += "; make one with 'ringmta dkim key'";
  if (code == EACCES) error.message += "; the relay's user must be able to read it";
  return std::unexpected(std::move(error));
}

Result<SecretOctets> read_all(const std::string& path, int fd) {
  std::vector<std::byte> octets(kFileMax + 1);
  size_t size = 0;
  while (size < octets.size()) {
    const ssize_t got = ::read(fd, octets.data() + size, octets.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return cannot_read(path, errno);
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  if (size > kFileMax) return fail(fmt::format("{} is too big to be a DKIM key", path));
  octets.resize(size);  // keeps its memory, so that nothing of it is left elsewhere
  return SecretOctets(std::move(octets));
}

}  // namespace

Result<KeyFile> read_key_file(const std::string& path) {
  const File file(path);
  struct stat state{};
  if (file.fd() < 0 || ::fstat(file.fd(), &state) != 0) return cannot_read(path, errno);
  auto octets = read_all(path, file.fd());
  if (!octets) return std::unexpected(octets.error());
  auto key = Key::from_pem(as_text(octets->view()));
  if (!key) return fail(fmt::format("{}: {}", path, key.error().message));
  KeyFile result{std::move(*key), {}};
  if ((state.st_mode & (S_IRWXO | S_IWGRP)) != 0) {
    result.warning = fmt::format(
        "{} has mode {:04o}: a private key is for its user alone, or for a group that "
        "reads it (chmod 0600 or 0640)",
        path, state.st_mode & 07777);
  }
  return result;
}

}  // namespace ringmta::dkim
