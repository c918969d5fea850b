// SPDX-License-Identifier: GPL-3.0-or-later
// The rows about the process: its user, and the confinement it puts itself into.
#include <fmt/format.h>

#include <algorithm>

#include "key.h"
#include "names.h"
#include "values.h"

namespace ringmta::config {
namespace {

// As useradd(8) takes them.
Status check_account(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  if (name.size() <= 32 && name.front() != '-' && std::ranges::all_of(name, fits)) return {};
  return fail(fmt::format("\"{}\" cannot be the name of a user or a group", name));
}

constexpr Key kKeys[] = {
    {.section = "process",
     .name = "user",
     .kind = Text{RINGMTA_AT(process.user), check_account, "user name"},
     .meaning = "Whom the relay becomes when root starts it: once its ports are bound, before it "
                "reads mail or talks to anybody. Spool, events and control socket belong to this "
                "user, who must be able to read the configuration and the files it names. "
                "`\"root\"` stays root, without capabilities; that is for trying things out. When "
                "somebody else starts the relay, it stays that user."},
    {.section = "process",
     .name = "group",
     .kind = Text{RINGMTA_AT(process.group), check_account, "group name", true},
     .meaning = "Its group. Empty: the user's own. The user's further groups in the group "
                "database (`ssl-cert`, say) are taken on as well."},
    {.section = "process",
     .name = "seccomp",
     .kind = Flag{RINGMTA_AT(process.seccomp)},
     .meaning = "Make the kernel refuse system calls that a relay has no use for, and end the "
                "process at those that only an intruder makes (starting a program, for one). Turn "
                "it off where a debugger or a preloaded library must work in the relay's process, "
                "or to find out whether it is in the way of something."},
    {.section = "process",
     .name = "landlock",
     .kind = Flag{RINGMTA_AT(process.landlock)},
     .meaning =
         "Make the kernel refuse files other than those the configuration names and those of "
         "the system, and binding of TCP ports; where the kernel has Landlock. Turn it off "
         "when files move about in ways that `readable` cannot foresee."},
    {.section = "process",
     .name = "readable",
     .kind = Texts{RINGMTA_AT(process.readable), check_path, "absolute path"},
     .meaning = "Further directories that Landlock leaves readable: those of files that a later "
                "reload will name. `/etc` and the directories of all files that the configuration "
                "names at the start are readable anyway.",
     .example = "[\"/srv/certificates\"]"},
    {.section = "process",
     .name = "core_dumps",
     .kind = Flag{RINGMTA_AT(process.core_dumps)},
     .meaning =
         "Let the kernel write core dumps, and let debuggers of the same user attach. A core "
         "dump holds mail, passwords and private keys: turn it on for as long as it takes to "
         "find a crash."},
};

}  // namespace

std::span<const Key> process_keys() { return kKeys; }

}  // namespace ringmta::config
