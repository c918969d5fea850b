// SPDX-License-Identifier: GPL-3.0-or-later
// `ringmta status` and `ringmta top`: two looks at the counters make a rate.
#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <ostream>
#include <thread>

#include "commands.h"
#include "control_client.h"
#include "status_view.h"

namespace ringmta::cli {
namespace {

using Json = nlohmann::json;

constexpr Milliseconds kPatience = seconds(30);
constexpr const char* kClearScreen = "\033[H\033[2J";

Result<Json> ask_status(ControlClient& client) {
  Json answer;
  const Status asked = client.ask({{"command", "status"}}, [&](const Json& line) {
    answer = line;
    return true;
  });
  if (!asked) return std::unexpected(asked.error());
  answer.erase("end");
  return answer;
}

void sleep(Milliseconds duration) {
  std::this_thread::sleep_for(std::chrono::milliseconds(duration.count));
}

int unreachable(const Console& console, const Error& error) {
  return complain(console, error.message, error.code != 0 ? kUnreachable : kFailed);
}

}  // namespace

int status_command(const StatusCommand& command, const Console& console) {
  const Result<std::string> socket = find_socket(command.place);
  if (!socket) return complain(console, socket.error().message, kMistake);
  Result<ControlClient> client = ControlClient::connect(*socket, kPatience);
  if (!client) return complain(console, client.error().message, kUnreachable);
  const Result<Json> first = ask_status(*client);
  if (!first) return unreachable(console, first.error());
  const auto print = [&](const Json& now, const Json* before) {
    if (command.json) {
      Json whole = now;
      if (before != nullptr) add_rates(whole, *before);
      console.out << whole.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
    } else {
      console.out << status_text(now, before);
    }
    return kDone;
  };
  if (command.interval.count == 0 || (command.json && !command.interval_given)) {
    return print(*first, nullptr);
  }
  sleep(command.interval);
  const Result<Json> second = ask_status(*client);
  if (!second) return unreachable(console, second.error());
  return print(*second, &*first);
}

// A relay that is started anew meanwhile is found again.
int top_command(const TopCommand& command, const Console& console) {
  const Result<std::string> socket = find_socket(command.place);
  if (!socket) return complain(console, socket.error().message, kMistake);
  Result<ControlClient> client = ControlClient::connect(*socket, kPatience);
  if (!client) return complain(console, client.error().message, kUnreachable);
  Result<Json> before = ask_status(*client);
  if (!before) return unreachable(console, before.error());
  for (uint64_t shown = 0; command.count == 0 || shown < command.count; ++shown) {
    sleep(command.interval);
    Result<Json> now = ask_status(*client);
    if (!now) return unreachable(console, now.error());
    if (console.terminal) console.out << kClearScreen;
    console.out << status_text(*now, &*before) << (console.terminal ? "" : "\n");
    console.out.flush();
    if (!console.out) return kDone;  // whoever read it is gone
    before = std::move(now);
  }
  return kDone;
}

}  // namespace ringmta::cli
