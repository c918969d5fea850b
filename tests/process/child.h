// SPDX-License-Identifier: GPL-3.0-or-later
// What cannot be taken back is tried by a process of its own.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

namespace ringmta::process {

// The name of the signal that ended it, or its exit status; what `work` gives is the status.
inline std::string in_child(const std::function<int()>& work) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) _exit(work());
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) return std::string("SIG") + sigabbrev_np(WTERMSIG(status));
  return std::to_string(WEXITSTATUS(status));
}

}  // namespace ringmta::process
