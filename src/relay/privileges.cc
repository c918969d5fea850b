// SPDX-License-Identifier: GPL-3.0-or-later
// The order matters: limits and directories while root, the user, then what that user gives up, the
// filter last since it forbids the calls of all steps before it.
#include "privileges.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include "ringmta/base/log.h"
#include "ringmta/process/identity.h"
#include "ringmta/process/landlock.h"
#include "ringmta/process/system_calls.h"
#include "token_commands.h"
#include "writable.h"

namespace ringmta::relay {

namespace {

// What the C library and its name services read, and what tells about the machine.
constexpr const char* kSystemFiles[] = {
    "/etc",           "/usr",         "/lib",        "/lib64",   "/proc", "/sys/devices/system",
    "/sys/fs/cgroup", "/dev/urandom", "/dev/random", "/dev/null"};

void raise_limit(int which) {
  rlimit limit{};
  if (getrlimit(static_cast<__rlimit_resource>(which), &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(static_cast<__rlimit_resource>(which), &limit);
}

// Rings count as locked memory, which root has without limit.
void lift_locked_memory() {
  const rlimit none{RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &none);
}

Result<process::Identity> whom(const config::ProcessSettings& wanted) {
  process::Identity now = process::current_identity();
  if (!process::is_root()) {
    if (wanted.user != now.user) {
      log(LogLevel::debug, "not started by root: [process] user \"{}\" does not apply",
          wanted.user);
    }
    return now;
  }
  if (wanted.user == "root" && wanted.group.empty()) return now;
  return process::find_identity(wanted.user, wanted.group);
}

// Not a mistake: what was read at the start is there. But a reload would be refused.
void tell_unreadable(const config::Loaded& configuration, const process::Identity& identity) {
  for (const config::NamedFile& file :
       config::files_read(configuration.settings, configuration.file)) {
    if (process::unreadable_files(identity, {file.path}).empty()) continue;
    log(LogLevel::warning, "{}", config::unreadable_text(file, identity.user, identity.gid));
  }
}

Result<std::string> confine_files(const config::Loaded& configuration) {
  const config::Settings& settings = configuration.settings;
  if (!settings.process.landlock) return "no Landlock ([process] landlock = false)";
  if (process::landlock_abi() == 0) return "no Landlock (this kernel has none)";
  process::FileRules rules;
  rules.read.assign(std::begin(kSystemFiles), std::end(kSystemFiles));
  for (const std::string& directory : settings.process.readable) rules.read.push_back(directory);
  const auto add = [&rules](const std::string& file) {
    for (std::string& directory : process::directories_of(file)) {
      rules.read.push_back(std::move(directory));
    }
  };
  add("/proc/self/exe");  // for the names in a backtrace
  for (const config::NamedFile& file : config::files_read(settings, configuration.file)) {
    add(file.path);
  }
  rules.write = directories_written(settings);
  const auto abi = process::restrict_files(rules);
  if (!abi) return std::unexpected(abi.error());
  return fmt::format("Landlock version {}", *abi);
}

Result<std::string> confine_calls(const config::ProcessSettings& settings) {
  if (!settings.seccomp) return "no seccomp filter ([process] seccomp = false)";
  if (const std::string_view why = process::why_no_system_call_filter(); !why.empty()) {
    return fmt::format("no seccomp filter ({})", why);
  }
  if (Status fine = process::filter_system_calls(); !fine) return std::unexpected(fine.error());
  return "seccomp filter";
}

}  // namespace

Status give_up_privileges(const config::Loaded& configuration, process::CommandRunner& runner) {
  const config::Settings& settings = configuration.settings;
  raise_limit(RLIMIT_NOFILE);
  const auto identity = whom(settings.process);
  if (!identity) return std::unexpected(identity.error());
  if (process::is_root()) lift_locked_memory();
  // Before Landlock, whose rules are about what is there.
  if (Status made = make_directories(settings, *identity); !made) return made;
  if (Status fine = runner.begin(*identity, token_commands(settings)); !fine) return fine;
  if (Status fine = process::become(*identity); !fine) return fine;
  if (Status fine = process::give_up_capabilities(); !fine) return fine;
  if (Status fine = process::forbid_new_privileges(); !fine) return fine;
  process::allow_core_dumps(settings.process.core_dumps);
  log(LogLevel::info, "runs as {} (user {}, group {}), without capabilities{}", identity->user,
      identity->uid, identity->gid, settings.process.core_dumps ? ", core dumps allowed" : "");
  if (identity->uid == 0) {
    log(LogLevel::warning,
        "[process] user = \"root\": the relay stays root, for trying things out only");
  }
  if (Status fine = check_directories(settings, *identity); !fine) return fine;
  tell_unreadable(configuration, *identity);
  const auto files = confine_files(configuration);
  if (!files) return fail(files.error().message + " (or set [process] landlock = false)");
  const auto calls = confine_calls(settings.process);
  if (!calls) return fail(calls.error().message + " (or set [process] seccomp = false)");
  log(LogLevel::info, "confined by: {}, {}, restricted rings", *calls, *files);
  return {};
}

Status confine_serving(const config::Settings& settings) {
  if (!settings.process.seccomp || !process::why_no_system_call_filter().empty()) return {};
  return process::filter_serving();
}

}  // namespace ringmta::relay
