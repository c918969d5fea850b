// SPDX-License-Identifier: GPL-3.0-or-later
// The blocking calls of ring/disk.h on the World's file system. Each takes effect at once and
// whole, and what the header calls durable is. Faults of World::inject() do not reach them.
#include <algorithm>
#include <cerrno>

#include "ringmta/ring/disk.h"
#include "world_impl.h"

namespace ringmta::ring::disk {
namespace {

sim::World::Impl& world() { return sim::World::current().impl(); }

}  // namespace

Status make_directory(const std::string& path) {
  if (const int code = world().files.make_directory(path); code != 0) {
    return fail_errno("cannot make the directory " + path, code);
  }
  return {};
}

Result<std::vector<std::string>> list(const std::string& path) {
  if (!world().files.is_directory(path)) {
    return fail_errno("cannot list the directory " + path,
                      world().files.find(path) != nullptr ? ENOTDIR : ENOENT);
  }
  return world().files.list(path);
}

Result<std::vector<std::byte>> read(const std::string& path, uint64_t offset, uint64_t length) {
  const sim::FilePointer file = world().files.find(path);
  if (file == nullptr) return fail_errno("cannot read " + path, ENOENT);
  const std::vector<std::byte>& content = file->content;
  if (offset >= content.size()) return std::vector<std::byte>{};
  const auto start = content.begin() + static_cast<ptrdiff_t>(offset);
  const uint64_t octets = std::min<uint64_t>(length, content.size() - offset);
  return std::vector<std::byte>(start, start + static_cast<ptrdiff_t>(octets));
}

Result<uint64_t> size(const std::string& path) {
  const sim::FilePointer file = world().files.find(path);
  if (file == nullptr) return fail_errno("cannot tell the size of " + path, ENOENT);
  return file->content.size();
}

Status write(const std::string& path, Bytes data) {
  sim::World::Impl& in = world();
  const std::string temporary = path + ".new";
  int code = 0;
  in.files.remove(temporary);
  const sim::FilePointer file = in.files.create(temporary, code);
  if (file == nullptr) return fail_errno("cannot write " + temporary, code);
  if (in.files.write(*file, 0, data, in.options.disk.capacity_octets) < data.size()) {
    in.files.remove(temporary);
    return fail_errno("cannot write " + temporary, ENOSPC);
  }
  in.files.sync(*file);
  return rename(temporary, path);
}

Status overwrite(const std::string& path, uint64_t offset, Bytes data) {
  sim::World::Impl& in = world();
  const sim::FilePointer file = in.files.find(path);
  if (file == nullptr) return fail_errno("cannot write " + path, ENOENT);
  const uint64_t written = in.files.write(*file, offset, data, in.options.disk.capacity_octets);
  in.files.sync_range(*file, offset, written);
  if (written < data.size()) return fail_errno("cannot write " + path, ENOSPC);
  return {};
}

Status remove(const std::string& path) {
  if (const int code = world().files.remove(path); code != 0) {
    return fail_errno("cannot remove " + path, code);
  }
  world().files.sync_directory_of(path);
  return {};
}

Status rename(const std::string& from, const std::string& to) {
  if (const int code = world().files.rename(from, to); code != 0) {
    return fail_errno("cannot rename " + from + " to " + to, code);
  }
  world().files.sync_directory_of(to);
  world().files.sync_directory_of(from);
  return {};
}

Result<uint64_t> free_bytes(const std::string& path) {
  if (!world().files.is_directory(path) && world().files.find(path) == nullptr) {
    return fail_errno("cannot tell the free space of " + path, ENOENT);
  }
  const uint64_t capacity = world().options.disk.capacity_octets;
  const uint64_t used = world().files.octets_used();
  return capacity > used ? capacity - used : 0;
}

Status lock_directory(const std::string& path) {
  if (!world().files.is_directory(path)) return fail_errno("cannot lock " + path, ENOENT);
  if (!world().files.locks().insert(sim::FileSystem::normal(path)).second) {
    return fail("the directory " + path + " is in use by another process; stop that one first",
                EWOULDBLOCK);
  }
  return {};
}

}  // namespace ringmta::ring::disk
