// SPDX-License-Identifier: GPL-3.0-or-later
// The program: streams and the relay, handed to cli/run.h.
#include <unistd.h>

#include <csignal>
#include <iostream>

#include "ringmta/cli/run.h"
#include "ringmta/relay/serve.h"

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  std::signal(SIGPIPE, SIG_IGN);
  const ringmta::cli::Console console{std::cin, std::cout, std::cerr, isatty(STDOUT_FILENO) != 0};
  ringmta::process::CommandRunner runner;
  return ringmta::cli::run(
      argc, argv, console,
      [&runner](const ringmta::config::Loaded& loaded) {
        return ringmta::relay::serve(loaded, runner);
      },
      [&runner](const std::string& file) { return ringmta::relay::start_runner(runner, file); });
}
