// SPDX-License-Identifier: GPL-3.0-or-later
// Making a ring: its flags, its receive buffers, its doorbell, and words for a kernel that refuses.
//
// SINGLE_ISSUER | DEFER_TASKRUN keep completion work on the shard's own thread and within its one
// `enter` per turn. Such a ring belongs to the thread that enables it, so it is made disabled and
// enabled by the first turn: an Io may be created by one thread and run by another.

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

#include "io_kernel.h"

namespace ringmta::ring {

namespace {

constexpr uint32_t kBuffersAtFirst = 64;

int number_in(const char* path, const std::string& key = {}) {
  std::ifstream file(path);
  if (key.empty()) {
    int value = -1;
    file >> value;
    return file ? value : -1;
  }
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(key, 0) == 0) return std::atoi(line.c_str() + key.size());
  }
  return -1;
}

std::string kernel_release() {
  utsname names{};
  return uname(&names) == 0 ? names.release : "unknown";
}

uint64_t seed_from_system() {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) != static_cast<ssize_t>(sizeof seed)) {
    seed = static_cast<uint64_t>(getpid()) * 0x9E3779B97F4A7C15ULL;
  }
  return seed;
}

}  // namespace

Error explain_refusal(int code) {
  const int disabled = number_in("/proc/sys/kernel/io_uring_disabled");
  if (code == EPERM && disabled == 2) {
    return {
        "io_uring is switched off on this machine (kernel.io_uring_disabled = 2). RingMTA does "
        "all its input and output through it: run 'sysctl kernel.io_uring_disabled=0' and put "
        "the setting into /etc/sysctl.d/",
        code};
  }
  if (code == EPERM && disabled == 1) {
    return {
        fmt::format("io_uring is reserved for privileged processes on this machine "
                    "(kernel.io_uring_disabled = 1): add the relay's user to the group named by "
                    "kernel.io_uring_group (now {}), or run 'sysctl "
                    "kernel.io_uring_disabled=0'",
                    number_in("/proc/sys/kernel/io_uring_group")),
        code};
  }
  if ((code == EPERM || code == EACCES || code == ENOSYS) &&
      number_in("/proc/self/status", "Seccomp:") == 2) {
    return {
        "io_uring is refused by a seccomp filter, as container runtimes install by default: "
        "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp "
        "profile (docker run --security-opt seccomp=PROFILE.json)",
        code};
  }
  if (code == ENOSYS) {
    return {fmt::format("this kernel ({}) has no io_uring: RingMTA needs Linux 6.1 or later, built "
                        "with CONFIG_IO_URING",
                        kernel_release()),
            code};
  }
  if (code == EINVAL) {
    return {fmt::format("this kernel ({}) does not know the io_uring features RingMTA needs: Linux "
                        "6.1 or later is required",
                        kernel_release()),
            code};
  }
  if (code == ENOMEM) {
    return {
        "not enough memory for an io_uring: raise the locked-memory limit (LimitMEMLOCK= in "
        "the systemd unit, ulimit -l), or lower [ring] entries",
        code};
  }
  return {fmt::format("io_uring could not be set up: {}", std::strerror(code)), code};
}

Io::Impl::Impl(const IoOptions& chosen)
    : options(chosen),
      random(chosen.random_seed != 0 ? chosen.random_seed : seed_from_system()),
      streams(chosen.streams_max),
      datagrams(chosen.datagrams_max),
      file_operations(UINT32_MAX) {
  events.reserve(1024);
}

Io::Impl::~Impl() {
  if (ring_ready) io_uring_queue_exit(&ring);  // first: the kernel may still write to buffers
  streams.for_each([](Stream& stream, SlotHandle) {
    stream.link.unlink();
    ::close(stream.fd);
  });
  datagrams.for_each([](Datagram& socket, SlotHandle) {
    socket.link.unlink();
    ::close(socket.fd);
  });
  for (const Listener& listener : listeners) {
    if (listener.fd >= 0) ::close(listener.fd);
    for (const int fd : listener.parked) ::close(fd);
  }
  for (const OpenFile& file : files) {
    if (file.fd >= 0) ::close(file.fd);
  }
  if (doorbell_fd >= 0) ::close(doorbell_fd);
  buffers.destroy();
}

Status Io::Impl::set_up() {
  io_uring_params parameters{};
  parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                     IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE |
                     IORING_SETUP_R_DISABLED;
  parameters.cq_entries = options.entries * 4;
  const int made = io_uring_queue_init_params(options.entries, &ring, &parameters);
  if (made < 0) return std::unexpected(explain_refusal(-made));
  ring_ready = true;
  doorbell_fd = eventfd(0, EFD_CLOEXEC);
  if (doorbell_fd < 0) return fail_errno("no descriptor for a shard's doorbell", errno);
  if (Status made_buffers =
          buffers.create(ring, options.receive_buffers, options.receive_buffer_size);
      !made_buffers) {
    return made_buffers;
  }
  return restrict();
}

void Io::Impl::enable() {
  if (enabled) return;
  enabled = true;
  // Not by io_uring_enable_rings(): liburing 2.3 declares it but its shared library lacks it.
  const long result =
      syscall(__NR_io_uring_register, ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
  RINGMTA_ASSERT(result == 0);
  io_uring_register_ring_fd(&ring);  // spares a lookup per enter; a refusal costs only that
  arm_doorbell();
}

Status ReceiveBuffers::create(io_uring& ring, uint32_t count, uint32_t size) {
  RINGMTA_ASSERT(count > 0 && count <= 32768 && (count & (count - 1)) == 0 && size > 0);
  count_ = count;
  size_ = size;
  shared_bytes_ = sizeof(io_uring_buf) * count;
  memory_bytes_ = static_cast<size_t>(count) * size;
  void* shared =
      mmap(nullptr, shared_bytes_, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
  if (shared == MAP_FAILED) return fail_errno("no memory for the receive buffer ring", errno);
  shared_ = static_cast<io_uring_buf_ring*>(shared);
  void* memory =
      mmap(nullptr, memory_bytes_, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
  if (memory == MAP_FAILED) {
    return fail_errno(fmt::format("no memory for {} receive buffers of {} octets; lower [ring] "
                                  "receive_buffers",
                                  count, size),
                      errno);
  }
  memory_ = static_cast<std::byte*>(memory);
  madvise(memory, memory_bytes_, MADV_DONTDUMP);  // passwords and mail of others arrive here
  io_uring_buf_ring_init(shared_);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uint64_t>(shared_);
  registration.ring_entries = count;
  registration.bgid = kGroup;
  const int registered = io_uring_register_buf_ring(&ring, &registration, 0);
  if (registered < 0) return std::unexpected(explain_refusal(-registered));
  pending_.reserve(count);
  const uint32_t first = std::min(count_, kBuffersAtFirst);
  for (uint32_t id = 0; id < first; ++id) give_back(id);
  circulating_ = first;
  publish();
  return {};
}

void ReceiveBuffers::destroy() {
  if (shared_ != nullptr) munmap(shared_, shared_bytes_);
  if (memory_ != nullptr) munmap(memory_, memory_bytes_);
  shared_ = nullptr;
  memory_ = nullptr;
}

bool ReceiveBuffers::publish() {
  if (pending_.empty()) return false;
  for (size_t i = 0; i < pending_.size(); ++i) {
    io_uring_buf_ring_add(shared_, at(pending_[i]), size_, pending_[i],
                          static_cast<int>(count_) - 1, static_cast<int>(i));
  }
  io_uring_buf_ring_advance(shared_, static_cast<int>(pending_.size()));
  pending_.clear();
  return true;
}

void ReceiveBuffers::grow() {
  const uint32_t wanted = std::min(count_, circulating_ * 2);
  for (; circulating_ < wanted; ++circulating_) give_back(circulating_);
}

std::string Io::features() const {
  return fmt::format(
      "io_uring on Linux {}, single issuer, deferred task work, multishot accept and "
      "receive, {} receive buffers in use",
      kernel_release(), impl_->buffers.circulating());
}

}  // namespace ringmta::ring
