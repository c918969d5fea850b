// SPDX-License-Identifier: GPL-3.0-or-later
// How often this disk can make something durable: the ceiling of every relay that syncs, and why
// the spool overwrites pre-written space past the page cache. One operation in flight per thread,
// so what is seen is the file system and the device.
//
// By io_uring, a synced write to a device without FUA is completed by a kernel thread (dio/*),
// which has normal priority; a write linked with an fsync by one that has the caller's. On a
// machine with free processors all are alike.
//
//   bench_disk --directory DIR [--seconds S] [--only CASE]
//                            one JSON object per case, all or that one; DIR must be on a disk
#include <fcntl.h>
#include <fmt/format.h>
#include <liburing.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr size_t kFileOctets = 64U << 20;
constexpr size_t kAlignment = 4096;

struct Case {
  const char* name;
  const char* says;
  size_t octets;  // of one operation
  bool append = false;
  bool direct = false;
  unsigned threads = 1;
  bool ring = false;    // by io_uring
  bool linked = false;  // as a write and an fsync
};

constexpr const char* kAppend = "append, fdatasync";
constexpr const char* kOverwrite = "overwrite, fdatasync";
constexpr const char* kDirect = "overwrite, O_DIRECT and RWF_DSYNC";
constexpr Case kCases[] = {
    {.name = "append 4", .says = kAppend, .octets = 4096, .append = true},
    {.name = "overwrite 4", .says = kOverwrite, .octets = 4096},
    {.name = "overwrite 64", .says = kOverwrite, .octets = 65536},
    {.name = "overwrite direct 4", .says = kDirect, .octets = 4096, .direct = true},
    {.name = "overwrite direct 64", .says = kDirect, .octets = 65536, .direct = true},
    {.name = "overwrite direct 1024", .says = kDirect, .octets = 1U << 20, .direct = true},
    {.name = "ring 64",
     .says = "overwrite, O_DIRECT and RWF_DSYNC, by io_uring",
     .octets = 65536,
     .direct = true,
     .ring = true},
    {.name = "ring linked 64",
     .says = "overwrite, O_DIRECT, fsync linked to it, by io_uring",
     .octets = 65536,
     .direct = true,
     .ring = true,
     .linked = true},
    {.name = "append by 64",
     .says = "append to a file each, fdatasync",
     .octets = 4096,
     .append = true,
     .threads = 64},
};

[[noreturn]] void fail(const std::string& what) {
  fmt::print(stderr, "bench_disk: {}: {}\n", what, std::strerror(errno));
  std::exit(2);
}

class File final {
 public:
  File(const std::string& directory, unsigned number, const Case& what, const char* octets)
      : path_(fmt::format("{}/bench-disk-{}-{}", directory, getpid(), number)) {
    const int flags = O_RDWR | O_CREAT | O_EXCL | (what.direct ? O_DIRECT : 0);
    descriptor_ = open(path_.c_str(), flags, 0600);
    if (descriptor_ < 0) fail(path_);
    if (what.append) return;
    for (size_t at = 0; at < kFileOctets; at += what.octets) write_at(octets, what, at, 0);
    if (fsync(descriptor_) != 0) fail("fsync");
    if (!what.ring) return;
    const int result = io_uring_queue_init(4, &ring_, 0);
    has_ring_ = result == 0;
    errno = -result;
    if (!has_ring_) fail("io_uring");
  }
  File(const File&) = delete;
  ~File() {
    if (has_ring_) io_uring_queue_exit(&ring_);
    close(descriptor_);
    unlink(path_.c_str());
  }

  void operation(const char* octets, const Case& what) {
    if (what.ring) {
      by_ring(octets, what);
    } else {
      write_at(octets, what, offset_, what.direct ? RWF_DSYNC : 0);
    }
    if (!what.direct && fdatasync(descriptor_) != 0) fail("fdatasync");
    offset_ += what.octets;
    if (!what.append && offset_ == kFileOctets) offset_ = 0;
  }

 private:
  void write_at(const char* octets, const Case& what, size_t offset, int flags) const {
    const iovec part{const_cast<char*>(octets), what.octets};
    const ssize_t written = pwritev2(descriptor_, &part, 1, static_cast<off_t>(offset), flags);
    if (written != static_cast<ssize_t>(what.octets)) fail("a write to " + path_);
  }

  void by_ring(const char* octets, const Case& what) {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    io_uring_prep_write(entry, descriptor_, octets, static_cast<unsigned>(what.octets), offset_);
    if (what.linked) {
      entry->flags |= IOSQE_IO_LINK;
      io_uring_prep_fsync(io_uring_get_sqe(&ring_), descriptor_, IORING_FSYNC_DATASYNC);
    } else {
      entry->rw_flags = RWF_DSYNC;
    }
    const unsigned count = what.linked ? 2 : 1;
    io_uring_submit_and_wait(&ring_, count);
    for (unsigned i = 0; i < count; ++i) {
      io_uring_cqe* done = nullptr;
      errno = -io_uring_wait_cqe(&ring_, &done);
      if (errno != 0) fail("io_uring");
      const int wanted = i == 0 ? static_cast<int>(what.octets) : 0;
      errno = done->res < 0 ? -done->res : 0;
      if (done->res != wanted) fail("a write by io_uring to " + path_);
      io_uring_cqe_seen(&ring_, done);
    }
  }

  std::string path_;
  io_uring ring_{};
  bool has_ring_ = false;
  int descriptor_ = -1;
  size_t offset_ = 0;
};

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

double at(const std::vector<double>& sorted, double share) {
  return sorted[static_cast<size_t>(share * static_cast<double>(sorted.size() - 1))];
}

void measure(const std::string& directory, const Case& what, double seconds) {
  auto* octets = static_cast<char*>(std::aligned_alloc(kAlignment, what.octets));
  std::memset(octets, 'm', what.octets);
  std::vector<std::unique_ptr<File>> files;
  for (unsigned i = 0; i < what.threads; ++i) {
    files.push_back(std::make_unique<File>(directory, i, what, octets));
  }
  std::mutex mutex;
  std::vector<double> took_ms;
  const auto begun = Clock::now();
  const auto until = begun + std::chrono::duration<double>(seconds);
  std::vector<std::thread> threads;
  for (auto& file : files) {
    threads.emplace_back([&, file = file.get()] {
      std::vector<double> own;
      for (auto now = Clock::now(); now < until;) {
        file->operation(octets, what);
        const auto after = Clock::now();
        own.push_back(Milliseconds(after - now).count());
        now = after;
      }
      const std::lock_guard lock(mutex);
      took_ms.insert(took_ms.end(), own.begin(), own.end());
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double all_s = std::chrono::duration<double>(Clock::now() - begun).count();
  std::free(octets);
  std::sort(took_ms.begin(), took_ms.end());
  fmt::print(
      "{{\"name\": \"{}\", \"case\": \"{}\", \"octets\": {}, \"threads\": {}, "
      "\"operations_per_s\": {:.0f}, \"p50_ms\": {:.2f}, \"p99_ms\": {:.2f}, \"max_ms\": "
      "{:.2f}}}\n",
      what.name, what.says, what.octets, what.threads, static_cast<double>(took_ms.size()) / all_s,
      at(took_ms, 0.5), at(took_ms, 0.99), took_ms.back());
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** words) {
  std::string directory, only;
  double seconds = 1;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string_view word = words[i];
    if (word == "--directory") directory = words[i + 1];
    if (word == "--seconds") seconds = std::strtod(words[i + 1], nullptr);
    if (word == "--only") only = words[i + 1];
  }
  if (directory.empty() || seconds <= 0 || count % 2 == 0) {
    fmt::print(
        stderr,
        "usage: bench_disk --directory DIR [--seconds S] [--only CASE]; DIR on the disk that is "
        "meant\n");
    return 2;
  }
  bool found = false;
  for (const Case& what : kCases) {
    if (!only.empty() && only != what.name) continue;
    found = true;
    measure(directory, what, seconds);
  }
  if (!found) fmt::print(stderr, "bench_disk: there is no case '{}'\n", only);
  return found ? 0 : 2;
}
