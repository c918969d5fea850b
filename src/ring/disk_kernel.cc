// SPDX-License-Identifier: GPL-3.0-or-later
// The blocking calls of the seam on a real file system.
//
// The insight: a name is data of its directory. What must be found after a power failure needs a
// sync of the directory as well as of the file, so whatever makes, moves or removes a name here
// syncs the directory before it answers.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <utility>

#include "ringmta/base/descriptor.h"
#include "ringmta/ring/disk.h"

namespace ringmta::ring::disk {
namespace {

std::string parent_of(const std::string& path) {
  const size_t end = path.find_last_not_of('/');
  const size_t slash = path.find_last_of('/', end);
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Status sync_directory(const std::string& path) {
  const Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || fsync(directory.get()) < 0) {
    return fail_errno("cannot sync the directory " + path, errno);
  }
  return {};
}

Status write_all(int fd, Bytes data, uint64_t offset, const std::string& path) {
  while (!data.empty()) {
    const ssize_t written = pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      return fail_errno("cannot write " + path, errno);
    }
    data = data.subspan(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
  return {};
}

}  // namespace

Status make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0) return sync_directory(parent_of(path));
  int code = errno;
  if (code == ENOENT) {
    const std::string parent = parent_of(path);
    if (parent == path || parent == ".")
      return fail_errno("cannot make the directory " + path, code);
    if (Status made = make_directory(parent); !made) return made;
    if (::mkdir(path.c_str(), 0700) == 0) return sync_directory(parent);
    code = errno;
  }
  if (code == EEXIST) {
    struct stat status{};
    if (::stat(path.c_str(), &status) < 0) {
      return fail_errno("cannot look at the directory " + path, errno);
    }
    if (S_ISDIR(status.st_mode)) return {};
    return fail_errno("cannot make the directory " + path + ", something else has its name",
                      ENOTDIR);
  }
  return fail_errno("cannot make the directory " + path, code);
}

Result<std::vector<std::string>> list(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
  if (!directory) return fail_errno("cannot list the directory " + path, errno);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return fail_errno("cannot list the directory " + path, errno);
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::vector<std::byte>> read(const std::string& path, uint64_t offset, uint64_t length) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status{};
  if (!file || fstat(file.get(), &status) < 0) return fail_errno("cannot read " + path, errno);
  const auto end = static_cast<uint64_t>(status.st_size);
  std::vector<std::byte> data(offset < end ? std::min(length, end - offset) : 0);
  size_t done = 0;
  while (done < data.size()) {
    const ssize_t octets = pread(file.get(), data.data() + done, data.size() - done,
                                 static_cast<off_t>(offset + done));
    if (octets < 0) {
      if (errno == EINTR) continue;
      return fail_errno("cannot read " + path, errno);
    }
    if (octets == 0) break;  // it was truncated meanwhile
    done += static_cast<size_t>(octets);
  }
  data.resize(done);
  return data;
}

Result<uint64_t> size(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) < 0)
    return fail_errno("cannot tell the size of " + path, errno);
  return static_cast<uint64_t>(status.st_size);
}

Status write(const std::string& path, Bytes data) {
  const std::string temporary = path + ".new";
  {
    const Descriptor file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file) return fail_errno("cannot write " + temporary, errno);
    Status written = write_all(file.get(), data, 0, temporary);
    if (written && fsync(file.get()) < 0) written = fail_errno("cannot sync " + temporary, errno);
    if (!written) {
      ::unlink(temporary.c_str());
      return written;
    }
  }
  return rename(temporary, path);
}

Status overwrite(const std::string& path, uint64_t offset, Bytes data) {
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file) return fail_errno("cannot write " + path, errno);
  if (Status written = write_all(file.get(), data, offset, path); !written) return written;
  if (fdatasync(file.get()) < 0) return fail_errno("cannot sync " + path, errno);
  return {};
}

Status remove(const std::string& path) {
  if (::unlink(path.c_str()) < 0) return fail_errno("cannot remove " + path, errno);
  return sync_directory(parent_of(path));
}

Status rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) < 0) {
    return fail_errno("cannot rename " + from + " to " + to, errno);
  }
  const std::string source = parent_of(from);
  const std::string target = parent_of(to);
  if (Status synced = sync_directory(target); !synced || source == target) return synced;
  return sync_directory(source);
}

Result<uint64_t> free_bytes(const std::string& path) {
  struct statvfs status{};
  if (::statvfs(path.c_str(), &status) < 0) {
    return fail_errno("cannot tell the free space of " + path, errno);
  }
  return static_cast<uint64_t>(status.f_bavail) * status.f_frsize;
}

Status lock_directory(const std::string& path) {
  const std::string name = path + "/lock";
  Descriptor file(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file) return fail_errno("cannot open the lock " + name, errno);
  if (flock(file.get(), LOCK_EX | LOCK_NB) < 0) {
    if (errno == EWOULDBLOCK) {
      return fail("the directory " + path + " is in use by another process (it holds the lock " +
                      name + "); stop that one first, or use another directory",
                  EWOULDBLOCK);
    }
    return fail_errno("cannot lock " + name, errno);
  }
  static_cast<void>(file.release());  // the lock lives as long as the process
  return {};
}

}  // namespace ringmta::ring::disk
