// SPDX-License-Identifier: GPL-3.0-or-later
// glibc's set*id() act on the whole process, capset(2) and prctl(2) on one thread: hence the rule
// that there is only one. Each step is looked at again when all are done, since a process that
// believes it has dropped root is worse than one that refuses to start.
#include "ringmta/process/identity.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

namespace ringmta::process {
namespace {

constexpr size_t kEntryMax = 65'536;  // octets of a user's or a group's entry
constexpr int kGroupsMax = 65'536;    // NGROUPS_MAX

std::vector<gid_t> groups_of(const std::string& user, gid_t gid) {
  int count = 64;
  std::vector<gid_t> groups(static_cast<size_t>(count));
  while (getgrouplist(user.c_str(), gid, groups.data(), &count) < 0 && count <= kGroupsMax) {
    groups.resize(static_cast<size_t>(count));
  }
  groups.resize(static_cast<size_t>(count));
  return groups;
}

std::string name_of(uid_t uid) {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> text(kEntryMax);
  if (getpwuid_r(uid, &entry, text.data(), text.size(), &found) != 0 || found == nullptr) {
    return std::to_string(uid);
  }
  return found->pw_name;
}

Result<gid_t> find_group(const std::string& group) {
  ::group entry{};
  ::group* found = nullptr;
  std::vector<char> text(kEntryMax);
  const int code = getgrnam_r(group.c_str(), &entry, text.data(), text.size(), &found);
  if (found != nullptr) return found->gr_gid;
  if (code != 0) return fail_errno("cannot look up the group \"" + group + "\"", code);
  return fail(
      fmt::format("there is no group \"{}\": 'groupadd --system {}' makes it, or name "
                  "another in [process] group",
                  group, group));
}

bool is_identity(const Identity& wanted) {
  uid_t uids[3];
  gid_t gids[3];
  if (getresuid(&uids[0], &uids[1], &uids[2]) != 0) return false;
  if (getresgid(&gids[0], &gids[1], &gids[2]) != 0) return false;
  for (const uid_t uid : uids) {
    if (uid != wanted.uid) return false;
  }
  for (const gid_t gid : gids) {
    if (gid != wanted.gid) return false;
  }
  return true;
}

bool has_capabilities() {
  __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[2]{};
  if (syscall(SYS_capget, &head, sets) != 0) return true;
  for (const auto& set : sets) {
    if ((set.effective | set.permitted | set.inheritable) != 0) return true;
  }
  return false;
}

// Takes CAP_SETPCAP; without it, forbid_new_privileges() is what keeps execve(2) from granting any.
void lower_bounding_set() {
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) break;
  }
}

std::vector<size_t> ask(const std::vector<std::string>& files) {
  std::vector<size_t> unreadable;
  for (size_t i = 0; i < files.size(); ++i) {
    // The effective user's rights; access(2) would ask about the real one.
    if (faccessat(AT_FDCWD, files[i].c_str(), R_OK, AT_EACCESS) != 0) unreadable.push_back(i);
  }
  return unreadable;
}

}  // namespace

bool is_root() { return geteuid() == 0; }

Identity current_identity() {
  Identity identity;
  identity.uid = geteuid();
  identity.gid = getegid();
  identity.user = name_of(identity.uid);
  const int count = getgroups(0, nullptr);
  if (count > 0) {
    identity.groups.resize(static_cast<size_t>(count));
    const int got = getgroups(count, identity.groups.data());
    identity.groups.resize(got > 0 ? static_cast<size_t>(got) : 0);
  }
  return identity;
}

Result<Identity> find_identity(const std::string& user, const std::string& group) {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> text(kEntryMax);
  const int code = getpwnam_r(user.c_str(), &entry, text.data(), text.size(), &found);
  if (found == nullptr && code != 0) {
    return fail_errno("cannot look up the user \"" + user + "\"", code);
  }
  if (found == nullptr) {
    return fail(
        fmt::format("there is no user \"{0}\", whom the relay becomes when root starts it: "
                    "'useradd --system --user-group --no-create-home --shell /usr/sbin/nologin "
                    "{0}' makes it, or name another in [process] user",
                    user));
  }
  Identity identity{user, found->pw_uid, found->pw_gid, {}};
  if (!group.empty()) {
    const auto gid = find_group(group);
    if (!gid) return std::unexpected(gid.error());
    identity.gid = *gid;
  }
  identity.groups = groups_of(user, identity.gid);
  return identity;
}

Status become(const Identity& identity) {
  if (!is_root() && is_identity(identity)) return {};
  lower_bounding_set();  // while it can be
  const std::string whom = fmt::format("cannot become the user \"{}\"", identity.user);
  if (setgroups(identity.groups.size(), identity.groups.data()) != 0) {
    return fail_errno(whom + " (setgroups)", errno);
  }
  if (setresgid(identity.gid, identity.gid, identity.gid) != 0) {
    return fail_errno(whom + " (setresgid)", errno);
  }
  if (setresuid(identity.uid, identity.uid, identity.uid) != 0) {
    return fail_errno(whom + " (setresuid)", errno);
  }
  if (!is_identity(identity)) return fail(whom + ": the system calls succeeded without effect");
  if (identity.uid != 0 && (setuid(0) == 0 || seteuid(0) == 0)) {
    return fail(whom + " for good: root can be had back");
  }
  return {};
}

Status give_up_capabilities() {
  lower_bounding_set();
  if (!has_capabilities()) return {};  // an outer filter may forbid the calls below
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL) {
    return fail_errno("cannot give up the ambient capabilities", errno);
  }
  __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[2]{};
  if (syscall(SYS_capset, &head, none) != 0)
    return fail_errno("cannot give up capabilities", errno);
  if (has_capabilities()) return fail("capabilities are left after giving them up");
  return {};
}

Status forbid_new_privileges() {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) {
    return fail_errno("cannot forbid new privileges (PR_SET_NO_NEW_PRIVS)", errno);
  }
  return {};
}

void allow_core_dumps(bool allowed) {
  static_cast<void>(prctl(PR_SET_DUMPABLE, allowed ? 1 : 0, 0, 0, 0));
}

std::vector<std::string> unreadable_files(const Identity& identity,
                                          const std::vector<std::string>& files) {
  std::vector<size_t> places;
  if (identity.uid == geteuid()) {
    places = ask(files);
  } else {
    int ends[2];
    if (::pipe(ends) != 0) return {};
    const pid_t child = ::fork();
    if (child == 0) {
      if (!become(identity)) _exit(1);
      for (const size_t place : ask(files)) {
        if (::write(ends[1], &place, sizeof place) != sizeof place) _exit(1);
      }
      _exit(0);
    }
    ::close(ends[1]);
    size_t place = 0;
    while (child > 0 && ::read(ends[0], &place, sizeof place) == sizeof place) {
      if (place < files.size()) places.push_back(place);
    }
    ::close(ends[0]);
    if (child > 0) static_cast<void>(::waitpid(child, nullptr, 0));
  }
  std::vector<std::string> unreadable;
  for (const size_t place : places) unreadable.push_back(files[place]);
  return unreadable;
}

}  // namespace ringmta::process
