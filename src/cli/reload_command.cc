// SPDX-License-Identifier: GPL-3.0-or-later
// `ringmta reload`: the relay reads its file; what it found is said here, and in its log.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <ostream>

#include "commands.h"
#include "control_client.h"

namespace ringmta::cli {
namespace {

using Json = nlohmann::json;

constexpr Milliseconds kPatience = seconds(60);

void print(const Json& answer, const Console& console) {
  for (const Json& warning : answer.at("warnings")) {
    console.err << "warning: " << warning.get<std::string>() << '\n';
  }
  size_t waiting = 0;
  for (const Json& change : answer.at("changes")) {
    const bool at_start = change.at("at_start").get<bool>();
    waiting += at_start ? 1 : 0;
    console.out << fmt::format("{}: {} -> {}{}\n", change.at("key").get<std::string>(),
                               change.at("from").get<std::string>(),
                               change.at("to").get<std::string>(),
                               at_start ? " (at the next start)" : "");
  }
  if (answer.at("changes").empty()) console.out << "no key has changed\n";
  if (waiting > 0) {
    console.err << fmt::format("{} change{} not in force before the relay is started anew\n",
                               waiting, waiting == 1 ? " is" : "s are");
  }
}

}  // namespace

int reload_command(const ReloadCommand& command, const Console& console) {
  const Result<std::string> socket = find_socket(command.place);
  if (!socket) return complain(console, socket.error().message, kMistake);
  Result<ControlClient> client = ControlClient::connect(*socket, kPatience);
  if (!client) return complain(console, client.error().message, kUnreachable);
  Json answer;
  const Status asked = client->ask({{"command", "reload"}}, [&](const Json& line) {
    answer = line;
    return true;
  });
  if (!asked) {
    return complain(console, asked.error().message,
                    asked.error().code != 0 ? kUnreachable : kFailed);
  }
  const Json& errors = answer.at("errors");
  for (const Json& error : errors) console.err << error.get<std::string>() << '\n';
  if (!errors.empty()) {
    console.err << "nothing was changed; the relay goes on as before\n";
    return kMistake;
  }
  print(answer, console);
  return kDone;
}

}  // namespace ringmta::cli
