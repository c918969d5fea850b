// SPDX-License-Identifier: GPL-3.0-or-later
// Only directories that are not there are made, and only what was made is given away: root follows
// no link and changes no owner of what somebody else may have put there.
#include "writable.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "ringmta/base/log.h"

namespace ringmta::relay {

namespace {

constexpr mode_t kSpoolMode = 0700;
constexpr mode_t kOtherMode = 0750;

std::string directory_of(const std::string& file) {
  const size_t slash = file.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : file.substr(0, slash);
}

// A name is data of its directory.
Status sync_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = fd >= 0 && ::fsync(fd) == 0;
  const int code = errno;
  if (fd >= 0) ::close(fd);
  return synced ? Status{} : fail_errno("cannot sync the directory " + path, code);
}

// Parents belong to root and can be passed through by everybody.
Status make_for(const std::string& path, mode_t mode, const process::Identity& identity) {
  struct stat about{};
  if (::stat(path.c_str(), &about) == 0) return {};  // check_directories() looks at it
  const std::string parent = directory_of(path);
  if (parent != "/" && ::stat(parent.c_str(), &about) != 0) {
    if (Status made = make_for(parent, 0755, {}); !made) return made;
  }
  if (::mkdir(path.c_str(), 0700) != 0)
    return fail_errno("cannot make the directory " + path, errno);
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  const bool own = !process::is_root();  // it belongs to whom it should
  const bool given = fd >= 0 && (own || ::fchown(fd, identity.uid, identity.gid) == 0) &&
                     ::fchmod(fd, mode) == 0 && ::fsync(fd) == 0;
  const int code = errno;
  if (fd >= 0) ::close(fd);
  if (!given) return fail_errno("cannot give the directory " + path + " to " + identity.user, code);
  return sync_directory(parent);
}

std::string owner_of(const std::string& path) {
  struct stat about{};
  if (::stat(path.c_str(), &about) != 0) return "nobody knows whom";
  return fmt::format("user {} and group {}, mode {:04o}", about.st_uid, about.st_gid,
                     about.st_mode & 07777);
}

Status check_writable(const std::string& path, const char* what, bool is_directory,
                      const process::Identity& identity) {
  const int wanted = is_directory ? R_OK | W_OK | X_OK : W_OK;
  if (::faccessat(AT_FDCWD, path.c_str(), wanted, AT_EACCESS) == 0) return {};
  const int code = errno;
  if (code != EACCES && code != EPERM) {
    return fail_errno(fmt::format("{} {}", what, path), code);
  }
  return fail(
      fmt::format("{0} {1} cannot be written by the relay's user, {2} (it is of {3}, or a "
                  "directory above it is closed to {2}): 'chown -R {2}: {1}', or name another "
                  "user in [process] user",
                  what, path, identity.user, owner_of(path)),
      code);
}

Status close_to_others(const std::string& spool) {
  struct stat about{};
  if (::stat(spool.c_str(), &about) != 0 || (about.st_mode & S_IRWXO) == 0) return {};
  const mode_t tight = about.st_mode & 07777 & ~static_cast<mode_t>(S_IRWXO);
  if (::chmod(spool.c_str(), tight) != 0) {
    return fail_errno(fmt::format("the spool {0} is open to every user of this machine and cannot "
                                  "be closed: chmod 0700 {0}",
                                  spool),
                      errno);
  }
  log(LogLevel::warning,
      "the spool {} was open to every user of this machine (mode {:04o}): it is {:04o} now", spool,
      about.st_mode & 07777, tight);
  return {};
}

}  // namespace

std::vector<std::string> directories_written(const config::Settings& settings) {
  std::vector<std::string> directories{settings.spool.directory};
  for (const std::string& file : {settings.events.file, settings.control.socket}) {
    if (!file.empty()) directories.push_back(directory_of(file));
  }
  return directories;
}

Status make_directories(const config::Settings& settings, const process::Identity& identity) {
  mode_t mode = kSpoolMode;
  for (const std::string& directory : directories_written(settings)) {
    if (Status made = make_for(directory, mode, identity); !made) return made;
    mode = kOtherMode;
  }
  return {};
}

Status check_directories(const config::Settings& settings, const process::Identity& identity) {
  const std::string& spool = settings.spool.directory;
  if (::access(spool.c_str(), F_OK) == 0 || errno != ENOENT) {  // else the spool makes it
    if (Status fine = check_writable(spool, "the spool", true, identity); !fine) return fine;
    if (Status fine = close_to_others(spool); !fine) return fine;
  }
  const std::string& events = settings.events.file;
  if (!events.empty()) {
    const bool there = ::access(events.c_str(), F_OK) == 0;
    const Status fine =
        there ? check_writable(events, "the event file", false, identity)
              : check_writable(directory_of(events), "the directory of events", true, identity);
    if (!fine) return fine;
  }
  if (settings.control.socket.empty()) return {};
  return check_writable(directory_of(settings.control.socket), "the control socket's directory",
                        true, identity);
}

}  // namespace ringmta::relay
