// SPDX-License-Identifier: GPL-3.0-or-later
// The rows about who may log in.
#include <algorithm>

#include "key.h"
#include "names.h"
#include "values.h"

namespace ringmta::config {
namespace {

Status read_mechanisms(Settings& settings, const Value& value) {
  const auto* list = value.as<std::vector<Value>>();
  std::vector<sasl::Mechanism> mechanisms;
  for (const Value& element : list != nullptr ? *list : std::vector<Value>()) {
    const std::string* name = element.as<std::string>();
    const auto mechanism = name != nullptr ? sasl::mechanism_named(*name) : std::nullopt;
    if (!mechanism || sasl::takes_token(*mechanism)) {
      return fail(
          "expects some of \"SCRAM-SHA-256-PLUS\", \"SCRAM-SHA-256\", \"PLAIN\" and \"LOGIN\": "
          "write mechanisms = [\"SCRAM-SHA-256\", \"PLAIN\"]");
    }
    if (std::find(mechanisms.begin(), mechanisms.end(), *mechanism) == mechanisms.end()) {
      mechanisms.push_back(*mechanism);
    }
  }
  if (mechanisms.empty()) {
    return fail("expects a list of mechanisms: write mechanisms = [\"SCRAM-SHA-256\", \"PLAIN\"]");
  }
  settings.server.auth.mechanisms = std::move(mechanisms);
  return {};
}

std::string show_mechanisms(const Settings& settings) {
  std::string text = "[";
  for (const sasl::Mechanism mechanism : settings.server.auth.mechanisms) {
    if (text.size() > 1) text += ", ";
    text += quoted(sasl::name_of(mechanism));
  }
  return text + "]";
}

constexpr Key kKeys[] = {
    {.section = "auth",
     .name = "users",
     .kind = Text{RINGMTA_AT(server.auth.users_file), check_path, "absolute path", true},
     .meaning = "The file of those who may log in and then send to any recipient; "
                "`ringmta password` makes its entries, [auth.md](auth.md) describes them. It is "
                "read at start and by `ringmta reload`, and must not be readable for everybody. "
                "Empty: AUTH is not offered.",
     .example = "\"/etc/ringmta/users\""},
    {.section = "auth",
     .name = "mechanisms",
     .kind = Special{read_mechanisms, show_mechanisms, "list of mechanisms"},
     .meaning = "What is offered. `PLAIN` and `LOGIN` hand the password over, `SCRAM-SHA-256` "
                "proves knowing it, `SCRAM-SHA-256-PLUS` does so for this TLS connection only (and "
                "is offered where there is one)."},
    {.section = "auth",
     .name = "clear_networks",
     .kind = Networks{RINGMTA_AT(server.auth.clear_networks)},
     .meaning = "Clients that may log in without TLS. With `PLAIN` and `LOGIN` whoever listens on "
                "the way reads their passwords. All others are offered AUTH over TLS only; before "
                "STARTTLS they get `538 5.7.11`.",
     .example = "[\"127.0.0.0/8\", \"::1\"]"},
    {.section = "auth",
     .name = "failures_max",
     .kind = Whole{RINGMTA_AT(server.auth.failures_max), 1, 1000},
     .meaning = "Failures with one user's name from one network (an IPv4 address, or an IPv6 /64) "
                "after which that network may not try the user for `block_for`: `454 4.7.0`. "
                "A password that was right before passes."},
    {.section = "auth",
     .name = "network_failures_max",
     .kind = Whole{RINGMTA_AT(server.auth.network_failures_max), 1, 60'000},
     .meaning = "Failures from one network, whatever the names, after which it may try nobody for "
                "`block_for`: `454 4.7.0`."},
    {.section = "auth",
     .name = "block_for",
     .kind = Duration{RINGMTA_AT(server.auth.block_for), seconds(1), hours(24)},
     .meaning = "How long after its last failure a block ends and the failures are forgotten."},
    {.section = "auth",
     .name = "delay_max",
     .kind = Duration{RINGMTA_AT(server.auth.delay_max), {0}, minutes(1)},
     .meaning = "The reply to a failure waits 250 ms, twice as long each time, at most so long."},
};

}  // namespace

std::span<const Key> auth_keys() { return kKeys; }

}  // namespace ringmta::config
