// SPDX-License-Identifier: GPL-3.0-or-later
// From the command line to the command.
#include "ringmta/cli/run.h"

#include <fmt/format.h>

#include <ostream>
#include <variant>

#include "commands.h"
#include "ringmta/base/version.h"

namespace ringmta::cli {
namespace {

struct Dispatch {
  const Console& console;
  const Serve& serve;
  const Prepare& prepare;

  int operator()(const ServeCommand& command) const {
    return serve_command(command, console, serve, prepare);
  }
  int operator()(const CheckCommand& command) const { return check_command(command, console); }
  int operator()(const StatusCommand& command) const { return status_command(command, console); }
  int operator()(const TopCommand& command) const { return top_command(command, console); }
  int operator()(const ReloadCommand& command) const { return reload_command(command, console); }
  int operator()(const QueueCommand& command) const { return queue_command(command, console); }
  int operator()(const SendCommand& command) const { return send_command(command, console); }
  int operator()(const PasswordCommand& command) const {
    return password_command(command, console);
  }
  int operator()(const DkimKeyCommand& command) const { return dkim_key_command(command, console); }
  int operator()(const DkimCheckCommand& command) const {
    return dkim_check_command(command, console);
  }
  int operator()(const VersionCommand&) const {
    console.out << "ringmta " << kVersion << '\n';
    return kDone;
  }
};

}  // namespace

int complain(const Console& console, std::string_view what, ExitStatus status) {
  console.err << "ringmta: " << what << '\n';
  return status;
}

int run(int argc, const char* const* argv, const Console& console, const Serve& serve,
        const Prepare& prepare) {
  const auto command = parse_arguments(argc, argv, console);
  if (!command) return command.error();
  const int status = std::visit(Dispatch{console, serve, prepare}, *command);
  console.out.flush();
  return status;
}

}  // namespace ringmta::cli
