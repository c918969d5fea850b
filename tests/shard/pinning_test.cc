// SPDX-License-Identifier: GPL-3.0-or-later
// Processor lists as text, and pinning a thread for real.
#include "ringmta/shard/pinning.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>

#include <thread>

namespace ringmta::shard {
namespace {

std::vector<int> cpus(std::string_view text) {
  Result<std::vector<int>> parsed = parse_cpus(text);
  EXPECT_TRUE(parsed.has_value()) << text;
  return parsed.value_or(std::vector<int>{});
}

TEST(Cpus, AreNumbersAndRangesInTheOrderWritten) {
  EXPECT_EQ(cpus("0"), (std::vector<int>{0}));
  EXPECT_EQ(cpus("0-3,8"), (std::vector<int>{0, 1, 2, 3, 8}));
  EXPECT_EQ(cpus("8,0-1"), (std::vector<int>{8, 0, 1}));
  EXPECT_EQ(cpus(" 2 , 4 - 5 "), (std::vector<int>{2, 4, 5}));
  EXPECT_EQ(cpus("7-7,1023"), (std::vector<int>{7, 1023}));
}

TEST(Cpus, RefuseWhatIsNoList) {
  for (const char* text : {"", ",", "0,", "a", "0-", "-1", "1-2-3", "0x1", "1024", "99999999999",
                           "1;2", "1 2", "+1"}) {
    const Result<std::vector<int>> parsed = parse_cpus(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_NE(parsed.error().message.find(text), std::string::npos);
  }
}

TEST(Cpus, SuggestTheRightWayRoundForABackwardRange) {
  const Result<std::vector<int>> parsed = parse_cpus("3-1");
  ASSERT_FALSE(parsed.has_value());
  EXPECT_NE(parsed.error().message.find("1-3"), std::string::npos);
}

TEST(Cpus, RefuseANumberTwice) {
  const Result<std::vector<int>> parsed = parse_cpus("0-3,2");
  ASSERT_FALSE(parsed.has_value());
  EXPECT_NE(parsed.error().message.find("processor 2"), std::string::npos);
}

TEST(AvailableCpus, AreThoseOfTheAffinity) {
  cpu_set_t set;
  ASSERT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  const std::vector<int> available = available_cpus();
  EXPECT_EQ(static_cast<int>(available.size()), CPU_COUNT(&set));
  for (const int cpu : available) EXPECT_TRUE(CPU_ISSET(cpu, &set));
  EXPECT_EQ(automatic_shards(), available.size());
}

TEST(CheckCpus, NamesTheOneThatIsNotThere) {
  EXPECT_TRUE(check_cpus(available_cpus()).has_value());
  const Status status = check_cpus({available_cpus().front(), 1023});
  ASSERT_FALSE(status.has_value());
  EXPECT_NE(status.error().message.find("processor 1023"), std::string::npos);
}

TEST(PinThisThread, KeepsTheThreadOnItsProcessor) {
  const int wanted = available_cpus().back();
  std::thread([&] {
    ASSERT_TRUE(pin_this_thread(wanted).has_value());
    EXPECT_EQ(available_cpus(), std::vector<int>{wanted});
    EXPECT_EQ(sched_getcpu(), wanted);
  }).join();
}

TEST(PinThisThread, SaysWhatFailed) {
  std::thread([] {
    const Status status = pin_this_thread(1023);
    ASSERT_FALSE(status.has_value());
    EXPECT_NE(status.error().message.find("processor 1023"), std::string::npos);
    EXPECT_FALSE(pin_this_thread(-1).has_value());
    EXPECT_FALSE(pin_this_thread(100'000).has_value());
  }).join();
}

TEST(NameThisThread, CutsWhatTheKernelCannotHold) {
  std::thread([] {
    name_this_thread("ringmta-shard-number-7");
    char name[16] = {};
    ASSERT_EQ(pthread_getname_np(pthread_self(), name, sizeof name), 0);
    EXPECT_STREQ(name, "ringmta-shard-n");
  }).join();
}

}  // namespace
}  // namespace ringmta::shard
