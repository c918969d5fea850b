// SPDX-License-Identifier: GPL-3.0-or-later
#include "token_commands.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "ringmta/config/load.h"
#include "ringmta/relay/serve.h"

namespace ringmta::relay {

std::vector<process::Command> token_commands(const config::Settings& settings) {
  std::vector<process::Command> commands;
  for (const client::Security& route : settings.client.routes) {
    if (route.auth && !route.auth->token_command.empty()) {
      commands.push_back(route.auth->token_command);
    }
  }
  return commands;
}

Status start_runner(process::CommandRunner& runner, const std::string& configuration) {
  // After a reload a command may be new. The file is read as it is now, without the files it names.
  return runner.start([configuration](const process::Command& command) {
    std::ifstream file(configuration);
    std::stringstream text;
    text << file.rdbuf();
    const config::Loaded now = config::parse(text.str(), configuration, config::this_machine());
    const auto named = token_commands(now.settings);
    return now.errors.empty() && std::ranges::find(named, command) != named.end();
  });
}

}  // namespace ringmta::relay
