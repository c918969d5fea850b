// SPDX-License-Identifier: GPL-3.0-or-later
// A listening Unix socket that takes the place of a dead one and never that of a living one.
//
// The insight: the socket is made under a name of its own, gets its permissions there, listens, and
// only then is renamed to where operators look. So nobody can connect before the permissions are
// right, there is no moment without a socket, and the process's umask is not touched (other threads
// may be making files).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "descriptor.h"
#include "ringmta/base/result.h"

namespace ringmta::http {

class ControlSocket final {
 public:
  static Result<ControlSocket> listen(const std::string& path, uint32_t mode);
  ControlSocket(ControlSocket&&) noexcept = default;
  ControlSocket& operator=(ControlSocket&&) = delete;
  // Removes the socket file, unless another process has put its own there meanwhile.
  ~ControlSocket();

  int descriptor() const { return descriptor_.get(); }

 private:
  ControlSocket(std::string path, Descriptor descriptor, dev_t device, ino_t node);

  std::string path_;
  Descriptor descriptor_;  // none: moved from
  dev_t device_;
  ino_t node_;
};

}  // namespace ringmta::http
