// SPDX-License-Identifier: GPL-3.0-or-later
// Programs that the configuration names (a command that prints a token), run by a process that was
// made for it before the relay had any secret, any thread or any connection.
//
// The insight: a relay that may start programs can be made to start any. So it may not (see
// system_calls.h); it asks a process beside it, which runs what the configuration names and nothing
// else. That process takes its orders over a socket whose other end only the relay has, looks the
// command up in the configuration by itself, and ends with the relay.
//
// Programs run as the relay's user, without new privileges, in a process group of their own, with
// nothing on their standard input and their standard error thrown away: it may well hold what must
// not be written anywhere. What they print is wiped here as soon as it is handed on.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "ringmta/base/result.h"
#include "ringmta/base/time.h"
#include "ringmta/process/identity.h"

namespace ringmta::process {

using Command = std::vector<std::string>;  // the program, by name or path, and its arguments

inline constexpr size_t kCommandOutputMax = 16'384;           // octets
inline constexpr size_t kCommandSizeMax = 65'536;             // octets of a command's words
inline constexpr Milliseconds kCommandTimeMax = seconds(30);  // then it is killed

// Here and now, in the calling process. `stop` or the end of `lifeline` (a socket; -1: none) kill
// the command. What it prints, if it ends with status 0.
Result<std::string> run_command(const Command& command, const std::atomic<bool>& stop,
                                int lifeline = -1);

class CommandRunner final {
 public:
  // Asked in the runner's own process, about each command that is new to it.
  using Permitted = std::function<bool(const Command&)>;

  CommandRunner() = default;
  ~CommandRunner();  // ends the process, and with it the command that is running
  CommandRunner(const CommandRunner&) = delete;
  CommandRunner& operator=(const CommandRunner&) = delete;

  // Makes the process. Single-threaded, before secrets are in memory.
  Status start(Permitted permitted);
  // Whom it becomes, and what it may run without asking. Once, before any run().
  Status begin(const Identity& identity, const std::vector<Command>& known);
  bool begun() const { return begun_; }
  // Thread-safe; one command at a time.
  Result<std::string> run(const Command& command, const std::atomic<bool>& stop);

 private:
  std::mutex lock_;
  int socket_ = -1;
  pid_t process_ = -1;
  bool begun_ = false;
};

}  // namespace ringmta::process
