// SPDX-License-Identifier: GPL-3.0-or-later
// Bounded on both sides: input stops growing one request beyond the longest allowed, output is
// never kept.
#include "control_connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "ringmta/http/control_server.h"

namespace ringmta::http {

bool ControlConnection::receive() {
  std::array<char, 16384> buffer;
  while (!has_line() && !too_long()) {
    const ssize_t count = ::recv(descriptor_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    if (count == 0) return false;
    input_.append(buffer.data(), static_cast<size_t>(count));
    last_active_ = Clock::now();
  }
  return true;  // what is behind the line waits in the kernel
}

bool ControlConnection::has_line() const { return input_.find('\n') <= ControlServer::kRequestMax; }

bool ControlConnection::too_long() const {
  return input_.size() > ControlServer::kRequestMax && !has_line();
}

std::string ControlConnection::take_line() {
  const size_t end = input_.find('\n');
  std::string line = input_.substr(0, end);
  input_.erase(0, end + 1);
  return line;
}

bool ControlConnection::send(std::string_view text, int wake) {
  while (!text.empty() && !broken_) {
    const ssize_t count =
        ::send(descriptor_.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count >= 0) {
      text.remove_prefix(static_cast<size_t>(count));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      broken_ = !wait_writable(wake);
    } else if (errno != EINTR) {
      broken_ = true;
    }
  }
  last_active_ = Clock::now();
  return !broken_;
}

bool ControlConnection::wait_writable(int wake) {
  if (wait_left_ <= Clock::duration::zero()) return false;
  std::array<pollfd, 2> watched{{{descriptor_.get(), POLLOUT, 0}, {wake, POLLIN, 0}}};
  const auto limit = std::chrono::ceil<std::chrono::milliseconds>(wait_left_);
  const Clock::time_point begun = Clock::now();
  const int ready = ::poll(watched.data(), watched.size(), static_cast<int>(limit.count()));
  wait_left_ -= Clock::now() - begun;
  if (ready < 0) return errno == EINTR;
  return ready > 0 && watched[1].revents == 0;
}

}  // namespace ringmta::http
