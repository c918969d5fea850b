// SPDX-License-Identifier: GPL-3.0-or-later
// A file descriptor that closes itself: for what is opened and closed again within one function at
// start-up or at an operator's command. What the ring works with is closed by the ring.
#pragma once

#include <unistd.h>

#include <utility>

namespace ringmta {

class Descriptor final {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace ringmta
