// SPDX-License-Identifier: GPL-3.0-or-later
// A disk that remembers the order in which it was written: a file system in user space (FUSE) with
// one file, `disk`, to put a loop device on. Each write and each flush is appended to a journal.
//
// The insight: what a power failure leaves is decided by two things only, which writes had reached
// the disk and which flushes stood between them. A journal of both is enough to make the image of
// any power cut afterwards, as often as wanted, from one run of the real program.
//
// The journal is a row of records: kind, length, offset, time (u32, u32, u64, u64 in the machine's
// order; kind 1: a write, its octets follow; 2: a flush). Time is CLOCK_MONOTONIC in nanoseconds,
// taken when the request came in. One thread serves one request after the other, so a write that is
// in the journal before a flush had been done before it.
//
//   recording_disk MOUNTPOINT JOURNAL SIZE    (in the foreground, until it is unmounted)
#define FUSE_USE_VERSION 31
#include <fcntl.h>
#include <fuse.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>

namespace {

struct Record {
  uint32_t kind = 0;
  uint32_t length = 0;
  uint64_t offset = 0;
  uint64_t time_ns = 0;
};
static_assert(sizeof(Record) == 24);
constexpr uint32_t kWrite = 1;
constexpr uint32_t kFlush = 2;
constexpr std::string_view kPath = "/disk";

int journal = -1;
char* contents = nullptr;
size_t size = 0;

void append(uint32_t kind, uint64_t offset, const char* octets, size_t length) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const Record record{
      kind, static_cast<uint32_t>(length), offset,
      static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec)};
  std::string whole(reinterpret_cast<const char*>(&record), sizeof(record));
  if (length > 0) whole.append(octets, length);
  if (write(journal, whole.data(), whole.size()) != static_cast<ssize_t>(whole.size())) {
    std::perror("the journal cannot be written");
    std::abort();
  }
}

int get_attributes(const char* path, struct stat* into, fuse_file_info*) {
  *into = {};
  if (std::string_view(path) == "/") {
    into->st_mode = S_IFDIR | 0700;
    into->st_nlink = 2;
    return 0;
  }
  if (path != kPath) return -ENOENT;
  into->st_mode = S_IFREG | 0600;
  into->st_nlink = 1;
  into->st_size = static_cast<off_t>(size);
  return 0;
}

int list(const char*, void* into, fuse_fill_dir_t fill, off_t, fuse_file_info*,
         fuse_readdir_flags) {
  fill(into, kPath.data() + 1, nullptr, 0, {});
  return 0;
}

int open_disk(const char* path, fuse_file_info* info) {
  if (path != kPath) return -ENOENT;
  info->direct_io = 1;  // no cache between the loop device and this
  return 0;
}

int read_disk(const char*, char* into, size_t length, off_t offset, fuse_file_info*) {
  const auto at = static_cast<size_t>(offset);
  if (at >= size) return 0;
  length = std::min(length, size - at);
  std::memcpy(into, contents + at, length);
  return static_cast<int>(length);
}

int write_disk(const char*, const char* octets, size_t length, off_t offset, fuse_file_info*) {
  const auto at = static_cast<size_t>(offset);
  if (at > size || length > size - at) return -ENOSPC;
  std::memcpy(contents + at, octets, length);
  append(kWrite, at, octets, length);
  return static_cast<int>(length);
}

int flush_disk(const char*, int, fuse_file_info*) {
  append(kFlush, 0, nullptr, 0);
  return 0;
}

// A discarded or zeroed range reads as zeroes; whether it does after a power cut is as open as for
// any other write.
int zero_range(const char*, int mode, off_t offset, off_t length, fuse_file_info*) {
  if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) == 0) return -EOPNOTSUPP;
  const std::string zeroes(1'048'576, '\0');
  for (auto at = static_cast<size_t>(offset), end = at + static_cast<size_t>(length); at < end;) {
    const size_t octets = std::min(zeroes.size(), end - at);
    const int written = write_disk(nullptr, zeroes.data(), octets, static_cast<off_t>(at), nullptr);
    if (written < 0) return written;
    at += octets;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "recording_disk MOUNTPOINT JOURNAL SIZE\n");
    return 2;
  }
  size = std::strtoull(argv[3], nullptr, 10);
  journal = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (journal < 0 || memory == MAP_FAILED) {
    std::perror("recording_disk");
    return 1;
  }
  contents = static_cast<char*>(memory);
  fuse_operations operations{};
  operations.getattr = get_attributes;
  operations.readdir = list;
  operations.open = open_disk;
  operations.read = read_disk;
  operations.write = write_disk;
  operations.fsync = flush_disk;
  operations.fallocate = zero_range;
  std::array<char*, 5> arguments = {argv[0], argv[1], const_cast<char*>("-f"),
                                    const_cast<char*>("-s"), nullptr};
  return fuse_main(4, arguments.data(), &operations, nullptr);
}
