// SPDX-License-Identifier: GPL-3.0-or-later
// What a ring can be asked for, told to the kernel before the ring is enabled and for good
// (IORING_REGISTER_RESTRICTIONS).
//
// The insight: io_uring's operations pass by seccomp, so a ring that takes them all is a way around
// any filter: IORING_OP_OPENAT, _UNLINKAT, _SOCKET, _URING_CMD. A ring that takes only what this
// room submits can act on descriptors that are open, and connect. An operation that is not listed
// here completes with EACCES: who adds one to this room adds it to the list.

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "io_kernel.h"

namespace ringmta::ring {

namespace {

constexpr uint8_t kSubmitted[] = {
    IORING_OP_ACCEPT, IORING_OP_CONNECT, IORING_OP_RECV,   IORING_OP_RECVMSG,
    IORING_OP_SEND,   IORING_OP_SENDMSG, IORING_OP_CLOSE,  IORING_OP_ASYNC_CANCEL,
    IORING_OP_READ,   IORING_OP_WRITE,   IORING_OP_WRITEV, IORING_OP_FALLOCATE,
    IORING_OP_FSYNC,
};
constexpr uint8_t kFlags = IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS;
// Once it is enabled; the ring's buffers are registered before.
constexpr uint8_t kRegistered[] = {IORING_REGISTER_RING_FDS, IORING_UNREGISTER_RING_FDS};

}  // namespace

Status Io::Impl::restrict() {
  std::vector<io_uring_restriction> rules;
  const auto add = [&rules](uint16_t kind) -> io_uring_restriction& {
    io_uring_restriction& rule = rules.emplace_back();
    rule.opcode = kind;
    return rule;
  };
  for (const uint8_t operation : kSubmitted) add(IORING_RESTRICTION_SQE_OP).sqe_op = operation;
  for (const uint8_t what : kRegistered) add(IORING_RESTRICTION_REGISTER_OP).register_op = what;
  add(IORING_RESTRICTION_SQE_FLAGS_ALLOWED).sqe_flags = kFlags;
  // Not by liburing 2.3, which declares the call but lacks it in its shared library.
  if (syscall(__NR_io_uring_register, ring.ring_fd, IORING_REGISTER_RESTRICTIONS, rules.data(),
              rules.size()) < 0) {
    return fail_errno("the ring's operations cannot be restricted", errno);
  }
  return {};
}

}  // namespace ringmta::ring
