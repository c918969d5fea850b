// SPDX-License-Identifier: GPL-3.0-or-later
// The command line as plain structs, one per command.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ringmta/base/address.h"
#include "ringmta/base/time.h"
#include "ringmta/cli/run.h"

namespace ringmta::cli {

struct ServeCommand {
  std::string file;
};

struct CheckCommand {
  std::string file;
  bool effective = false;
  bool reference = false;
};

// Where the relay's control socket is: named, or found in a configuration.
struct ControlPlace {
  std::string socket;
  std::string file;  // empty: the default one, if it is there
};

struct StatusCommand {
  ControlPlace place;
  bool json = false;
  Milliseconds interval = seconds(1);  // between the two looks that rates are made of; 0: no rates
  bool interval_given = false;         // else a machine gets one look
};

struct TopCommand {
  ControlPlace place;
  Milliseconds interval = seconds(2);
  uint64_t count = 0;  // 0: until interrupted
};

struct ReloadCommand {
  ControlPlace place;
};

struct QueueCommand {
  enum class What : uint8_t { list, show, retry, remove };
  What what = What::list;
  ControlPlace place;
  std::string id, domain, sender, site;
  bool all = false;
  bool json = false;
  uint64_t limit = 1000;  // 0: any number
};

struct SendCommand {
  std::string file;    // the message; empty or "-": standard input
  std::string server;  // HOST:PORT; empty: the configuration's first listener
  std::string configuration;
  std::optional<std::string> from;
  bool null_sender = false;
  std::vector<std::string> to;
  std::optional<std::string> subject;  // given: the input is a text, and a header is made for it
  std::string notify;
  Milliseconds timeout = minutes(5);
};

struct PasswordCommand {
  std::string name;
  std::string file;  // to put the entry into; empty: it is printed
  uint64_t iterations = 0;
};

struct DkimKeyCommand {
  std::string domain, selector, file;
  bool ed25519 = false;
  uint32_t bits = 2048;
};

struct DkimCheckCommand {
  std::string file;                    // the configuration whose keys are checked; or
  std::string key_file;                // one key
  std::string domain, selector;        // of that, or only those of the configuration
  std::string record;                  // compared instead of what the DNS says
  std::vector<SocketAddress> servers;  // asked instead of the configured ones
};

struct VersionCommand {};

using Command =
    std::variant<ServeCommand, CheckCommand, StatusCommand, TopCommand, ReloadCommand, QueueCommand,
                 SendCommand, PasswordCommand, DkimKeyCommand, DkimCheckCommand, VersionCommand>;

// Otherwise the exit status: help was asked for and printed, or a mistake was told.
std::expected<Command, int> parse_arguments(int argc, const char* const* argv,
                                            const Console& console);

}  // namespace ringmta::cli
