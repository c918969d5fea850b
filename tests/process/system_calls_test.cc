// SPDX-License-Identifier: GPL-3.0-or-later
// The filter: what still works, what fails and what ends the process.
#include "ringmta/process/system_calls.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <liburing.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "child.h"
#include "ringmta/process/identity.h"

namespace ringmta::process {
namespace {

class SystemCalls : public testing::Test {
 protected:
  void SetUp() override {
    if (!why_no_system_call_filter().empty()) GTEST_SKIP() << why_no_system_call_filter();
  }
};

// The errno of a call, 0 when it succeeded.
int outcome(long result) { return result < 0 ? errno : 0; }

std::string filtered(const std::function<int()>& work) {
  return in_child([&] {
    if (!forbid_new_privileges() || !filter_system_calls()) return 100;
    return work();
  });
}

std::string serving(const std::function<int()>& work) {
  return filtered([&] {
    if (!filter_serving()) return 101;
    return work();
  });
}

int make_ring() {
  io_uring_params parameters{};
  return outcome(syscall(SYS_io_uring_setup, 8, &parameters));
}

TEST_F(SystemCalls, WhatARelayDoesGoesOn) {
  EXPECT_EQ(serving([] {
              const int file = ::open("/proc/self/status", O_RDONLY | O_CLOEXEC);
              char text[64];
              if (file < 0 || ::read(file, text, sizeof text) <= 0) return 1;
              std::atomic<int> seen{0};
              std::thread([&] { seen = 1; }).join();
              if (seen != 1) return 2;
              const int socket = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
              if (socket < 0) return 3;
              void* memory = ::mmap(nullptr, 65536, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              return memory == MAP_FAILED ? 4 : 0;
            }),
            "0");
}

TEST_F(SystemCalls, AProgramEndsTheProcess) {
  EXPECT_EQ(serving([] {
              char* const words[] = {const_cast<char*>("/bin/true"), nullptr};
              ::execv(words[0], words);
              return 1;
            }),
            "SIGSYS");
}

TEST_F(SystemCalls, AnotherProcessEndsTheProcess) {
  EXPECT_EQ(serving([] { return ::fork() == 0 ? 1 : 2; }), "SIGSYS");
  EXPECT_EQ(serving([] {
              pid_t child = 0;
              char* const words[] = {const_cast<char*>("/bin/true"), nullptr};
              return ::posix_spawn(&child, words[0], nullptr, nullptr, words, environ) == 0 ? 1 : 2;
            }),
            "SIGSYS");
}

TEST_F(SystemCalls, IntrudersCallsEndTheProcess) {
  EXPECT_EQ(serving([] { return outcome(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)); }),
            "SIGSYS");
  EXPECT_EQ(serving([] { return outcome(syscall(SYS_bpf, 0, nullptr, 0)); }), "SIGSYS");
  EXPECT_EQ(serving([] { return outcome(syscall(SYS_setresuid, 0, 0, 0)); }), "SIGSYS");
  EXPECT_EQ(serving([] { return outcome(syscall(SYS_mount, "", "/", "", 0, nullptr)); }), "SIGSYS");
}

TEST_F(SystemCalls, AllOthersAreNotThere) {
  EXPECT_EQ(serving([] { return outcome(syscall(SYS_getitimer, 0, nullptr)); }),
            std::to_string(ENOSYS));
  EXPECT_EQ(serving([] { return outcome(::socket(AF_PACKET, SOCK_RAW, 0)); }),
            std::to_string(ENOSYS));
}

TEST_F(SystemCalls, MemoryIsWrittenOrRun) {
  EXPECT_EQ(serving([] {
              void* both = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              return both == MAP_FAILED ? errno : 0;
            }),
            std::to_string(EPERM));
  EXPECT_EQ(serving([] {
              void* memory =
                  ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              return outcome(::mprotect(memory, 4096, PROT_READ | PROT_EXEC));
            }),
            std::to_string(EPERM));
}

TEST_F(SystemCalls, RingsAreMadeAtTheStartOnly) {
  if (in_child(make_ring) != "0") GTEST_SKIP() << "this machine refuses io_uring";
  EXPECT_EQ(filtered(make_ring), "0");
  EXPECT_EQ(serving(make_ring), std::to_string(EPERM));
}

// Threads that were there before the second step are under it.
TEST_F(SystemCalls, TheSecondStepIsForAllThreads) {
  EXPECT_EQ(filtered([] {
              std::atomic<int> step{0};
              std::atomic<int> result{-1};
              std::thread other([&] {
                step = 1;
                step.notify_all();
                step.wait(1);
                result = make_ring();
              });
              step.wait(0);
              const bool fine = filter_serving().has_value();
              step = 2;
              step.notify_all();
              other.join();
              return fine ? result.load() : 101;
            }),
            std::to_string(EPERM));
}

}  // namespace
}  // namespace ringmta::process
