// SPDX-License-Identifier: GPL-3.0-or-later
// A shard's ring takes the operations that the room submits, and no others from whoever has it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <functional>

#include "io_kernel.h"

namespace ringmta::ring {
namespace {

class Restrictions : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(impl_.set_up());
    ASSERT_EQ(syscall(SYS_io_uring_register, ring(), IORING_REGISTER_ENABLE_RINGS, nullptr, 0), 0);
  }
  int ring() const { return impl_.ring.ring_fd; }

  // What an operation completes with.
  int result_of(const std::function<void(io_uring_sqe*)>& prepare) {
    io_uring_sqe* sqe = io_uring_get_sqe(&impl_.ring);
    prepare(sqe);
    io_uring_submit_and_wait(&impl_.ring, 1);
    io_uring_cqe* completion = nullptr;
    if (io_uring_peek_cqe(&impl_.ring, &completion) != 0) return -EAGAIN;
    const int result = completion->res;
    io_uring_cqe_seen(&impl_.ring, completion);
    return result;
  }

  Io::Impl impl_{IoOptions{.entries = 8, .receive_buffers = 64}};
};

TEST_F(Restrictions, WhatIsOpenIsReadAndWritten) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  EXPECT_EQ(result_of([&](io_uring_sqe* sqe) { io_uring_prep_write(sqe, ends[1], "ab", 2, 0); }),
            2);
  char text[4];
  EXPECT_EQ(result_of([&](io_uring_sqe* sqe) { io_uring_prep_read(sqe, ends[0], text, 4, 0); }), 2);
  EXPECT_EQ(result_of([&](io_uring_sqe* sqe) { io_uring_prep_close(sqe, ends[0]); }), 0);
  ::close(ends[1]);
}

TEST_F(Restrictions, FilesAreNotOpenedOrRemoved) {
  EXPECT_EQ(result_of([](io_uring_sqe* sqe) {
              io_uring_prep_openat(sqe, AT_FDCWD, "/dev/null", O_RDONLY, 0);
            }),
            -EACCES);
  EXPECT_EQ(result_of([](io_uring_sqe* sqe) {
              io_uring_prep_unlinkat(sqe, AT_FDCWD, "/nonexistent", 0);
            }),
            -EACCES);
  EXPECT_EQ(result_of([](io_uring_sqe* sqe) {
              io_uring_prep_renameat(sqe, AT_FDCWD, "/nonexistent", AT_FDCWD, "/other", 0);
            }),
            -EACCES);
}

TEST_F(Restrictions, NorIsAnythingElseDone) {
  EXPECT_EQ(result_of([](io_uring_sqe* sqe) { io_uring_prep_nop(sqe); }), -EACCES);
  const auto linked = [](io_uring_sqe* sqe) {
    io_uring_prep_close(sqe, -1);
    sqe->flags |= IOSQE_IO_DRAIN;
  };
  EXPECT_EQ(result_of(linked), -EACCES) << "a flag the room does not set";
}

TEST_F(Restrictions, TheyCannotBeLifted) {
  io_uring_restriction any{};
  any.opcode = IORING_RESTRICTION_SQE_OP;
  any.sqe_op = IORING_OP_OPENAT;
  EXPECT_LT(syscall(SYS_io_uring_register, ring(), IORING_REGISTER_RESTRICTIONS, &any, 1), 0);
  int none = -1;
  EXPECT_LT(syscall(SYS_io_uring_register, ring(), IORING_REGISTER_FILES, &none, 1), 0);
  EXPECT_EQ(errno, EACCES);
}

}  // namespace
}  // namespace ringmta::ring
