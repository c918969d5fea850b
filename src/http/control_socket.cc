// SPDX-License-Identifier: GPL-3.0-or-later
// Whether a socket file is alive is found out by connecting: a refused connection is the one sure
// sign that no process listens there.
#include "control_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace ringmta::http {
namespace {

constexpr int kBacklog = 64;

Descriptor make_socket() {
  return Descriptor{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
}

// `path` is known to fit.
sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

const sockaddr* get(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

Status check_free(const std::string& path) {
  struct stat found{};
  if (::lstat(path.c_str(), &found) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno("control: cannot look at " + path, errno);
  }
  if (!S_ISSOCK(found.st_mode)) {
    return fail(
        "control: " + path +
        " exists and is not a socket; move it away or set [control] socket to another path");
  }
  const Descriptor probe = make_socket();
  if (!probe) return fail_errno("control: cannot make a Unix socket", errno);
  const sockaddr_un address = address_of(path);
  const bool connected = ::connect(probe.get(), get(address), sizeof(address)) == 0;
  if (!connected && (errno == ECONNREFUSED || errno == ENOENT)) return {};
  if (connected || errno == EAGAIN) {  // EAGAIN: it lives, its backlog is full
    return fail("control: another process answers at " + path +
                "; stop it, or set [control] socket to another path");
  }
  return fail_errno("control: cannot tell whether another process listens at " + path, errno);
}

// Names bind() where the temporary name lies, hence what an operator must do about it.
std::unexpected<Error> fail_binding(const std::string& path, int code) {
  return fail_errno("control: cannot make the socket " + path +
                        " (its directory must exist and be writable for the relay's user)",
                    code);
}

}  // namespace

Result<ControlSocket> ControlSocket::listen(const std::string& path, uint32_t mode) {
  const std::string temporary = path + "." + std::to_string(::getpid());
  if (path.empty() || path.front() != '/' || temporary.size() >= sizeof(sockaddr_un::sun_path)) {
    return fail(
        "control: \"" + path + "\" cannot be a socket: its path must begin with / and be of " +
        std::to_string(sizeof(sockaddr_un::sun_path) - 1 - (temporary.size() - path.size())) +
        " octets at most");
  }
  if (Status free = check_free(path); !free) return std::unexpected(free.error());
  Descriptor descriptor = make_socket();
  if (!descriptor) return fail_errno("control: cannot make a Unix socket", errno);
  ::unlink(temporary.c_str());  // of a process that had our number and died in the next few lines
  const sockaddr_un address = address_of(temporary);
  // Linux gives the file the permissions that the socket has when it is bound.
  if (::fchmod(descriptor.get(), 0600) != 0 ||
      ::bind(descriptor.get(), get(address), sizeof(address)) != 0) {
    return fail_binding(path, errno);
  }
  struct stat made{};
  if (::chmod(temporary.c_str(), mode & 0777) != 0 || ::listen(descriptor.get(), kBacklog) != 0 ||
      ::lstat(temporary.c_str(), &made) != 0 || ::rename(temporary.c_str(), path.c_str()) != 0) {
    const int code = errno;
    ::unlink(temporary.c_str());
    return fail_binding(path, code);
  }
  return ControlSocket(path, std::move(descriptor), made.st_dev, made.st_ino);
}

ControlSocket::ControlSocket(std::string path, Descriptor descriptor, dev_t device, ino_t node)
    : path_(std::move(path)), descriptor_(std::move(descriptor)), device_(device), node_(node) {}

ControlSocket::~ControlSocket() {
  if (!descriptor_) return;
  struct stat found{};
  if (::lstat(path_.c_str(), &found) != 0) return;
  if (found.st_dev == device_ && found.st_ino == node_) ::unlink(path_.c_str());
}

}  // namespace ringmta::http
