// SPDX-License-Identifier: GPL-3.0-or-later
// A socket has its options before it is bound; those that accept(2) gives inherit them.
#include "ringmta/ring/listening.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace ringmta::ring {

namespace {

std::mutex lock;
std::map<std::string, std::vector<int>> waiting;  // by address

// Two relays on one port would share its connections by SO_REUSEPORT without a word.
Status check_free(const SocketAddress& address) {
  const int fd = ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail_errno("no socket to listen on " + address.text(), errno);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const int bound = ::bind(fd, address.get(), address.length);
  const int code = errno;
  ::close(fd);
  if (bound < 0 && code == EADDRINUSE) {
    return fail("another program listens on " + address.text() +
                    " already: see 'ss -ltnp', or choose another address or port",
                code);
  }
  return {};  // bind_listener() tells the rest
}

}  // namespace

Status bind_ahead(const SocketAddress& address, uint32_t count) {
  if (address.port() == 0) return {};
  if (Status fine = check_free(address); !fine) return fine;
  for (uint32_t i = 0; i < count; ++i) {
    const auto bound = bind_listener(address, count > 1);
    if (!bound) return std::unexpected(bound.error());
    const std::lock_guard guard(lock);
    waiting[address.text()].push_back(*bound);
  }
  return {};
}

int take_bound(const SocketAddress& address) {
  const std::lock_guard guard(lock);
  const auto found = waiting.find(address.text());
  if (found == waiting.end() || found->second.empty()) return -1;
  const int fd = found->second.back();
  found->second.pop_back();
  return fd;
}

Result<int> bind_listener(const SocketAddress& address, bool reuse_port) {
  const int fd = ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail_errno("no socket to listen on " + address.text(), errno);
  const int on = 1;
  if (address.family() != AF_UNIX) {
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (reuse_port) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (address.family() == AF_INET6) {
      setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
  }
  if (::bind(fd, address.get(), address.length) == 0) return fd;
  const int code = errno;
  ::close(fd);
  std::string what = "cannot listen on " + address.text();
  if (code == EADDRINUSE) what += " (another program does: see 'ss -ltnp')";
  if (code == EACCES) {
    what +=
        " (ports below 1024 need root at the start, or CAP_NET_BIND_SERVICE: "
        "AmbientCapabilities= in the unit)";
  }
  return fail_errno(what, code);
}

}  // namespace ringmta::ring
