// SPDX-License-Identifier: GPL-3.0-or-later
// The program `ringmta`: the relay and its operator's commands, in one.
//
// The insight: a command is a function from arguments and streams to text and an exit status. The
// relay itself comes in as a function too, so everything an operator types is tested without
// starting a process.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>

#include "ringmta/config/load.h"

namespace ringmta::cli {

// What scripts may rely on (docs/cli.md).
enum ExitStatus : int {
  kDone = 0,
  kFailed = 1,       // the relay said no, or there is no such message; serve: it could not start
  kMistake = 2,      // in the command line or in the configuration
  kUnreachable = 3,  // no relay answers
  kTryAgain = 4      // send: refused for now (4xx)
};

struct Console {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool terminal = false;  // `out` is one: `top` may redraw
};

using Serve = std::function<int(const config::Loaded& configuration)>;
// Before serve's configuration is read; the file's name.
using Prepare = std::function<Status(const std::string& file)>;

int run(int argc, const char* const* argv, const Console& console, const Serve& serve,
        const Prepare& prepare = {});

}  // namespace ringmta::cli
