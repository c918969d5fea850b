// SPDX-License-Identifier: GPL-3.0-or-later
// Reading the event file as an operator's script would.
#include "accounts.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

namespace ringmta::simulation {

std::vector<std::string> mistakes_in(const std::string& events, uint64_t crashes, bool torn) {
  struct Account {
    uint32_t received = 0;
    std::vector<std::string> ends;
    bool attempted_after = false;
  };
  std::map<std::pair<std::string, std::string>, Account> accounts;
  std::vector<std::string> found;
  std::istringstream lines(events);
  for (std::string line; std::getline(lines, line);) {
    const auto event = nlohmann::json::parse(line, nullptr, false);
    if (event.is_discarded()) {
      if (torn) continue;
      found.push_back("an event that is no JSON: " + line);
      continue;
    }
    const std::string kind = event["event"];
    if (kind == "held") continue;  // of a site or domain
    Account& of = accounts[{event["id"], event["recipient"]}];
    if (kind == "received") {
      ++of.received;
    } else if (kind == "deferred") {
      of.attempted_after = of.attempted_after || !of.ends.empty();
    } else {
      of.ends.push_back(kind);
    }
  }
  for (const auto& [who, of] : accounts) {
    const auto tell = [&, &name = who](const std::string& what) {
      found.push_back(fmt::format("events of {} for <{}>: {}", name.first, name.second, what));
    };
    // A crash takes the last lines with it, and what was not noted yet happens again.
    const bool whole = crashes == 0;
    if (whole ? of.received != 1 : of.received > 1) {
      tell(fmt::format("received {} times", of.received));
    }
    if (whole ? of.ends.size() != 1 : of.ends.size() > 1 + crashes) {
      std::string all;
      for (const std::string& one : of.ends) (all += " ") += one;
      tell(fmt::format("{} final states{}", of.ends.size(), all));
    }
    if (whole && of.attempted_after) tell("deferred after its final state");
  }
  return found;
}

}  // namespace ringmta::simulation
