// SPDX-License-Identifier: GPL-3.0-or-later
// What is found out about the machine this test runs on.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ringmta/config/load.h"

namespace ringmta::config {
namespace {

TEST(ThisMachine, TellsOnlyProcessorsTheProcessMayUse) {
  cpu_set_t before;
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  const Machine whole = this_machine();
  EXPECT_EQ(whole.cpus.size(), static_cast<size_t>(CPU_COUNT(&before)));
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<size_t>(whole.cpus.back()), &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(this_machine().cpus, std::vector<int>{whole.cpus.back()});
  ASSERT_EQ(::sched_setaffinity(0, sizeof before, &before), 0);
}

TEST(ThisMachine, TellsTheHardLimitOfOpenFiles) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_max = std::min<rlim_t>(limit.rlim_max, 777);
  limit.rlim_cur = std::min(limit.rlim_cur, limit.rlim_max);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(this_machine().open_files_max, limit.rlim_max);
}

TEST(ThisMachine, MemoryIsNoMoreThanThereIs) {
  const uint64_t there = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                         static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t told = this_machine().memory;
  EXPECT_GT(told, 1ULL << 20);
  EXPECT_LE(told, there);
}

}  // namespace
}  // namespace ringmta::config
