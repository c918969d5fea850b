// SPDX-License-Identifier: GPL-3.0-or-later
// Blocks keep what is written to them, do not overlap, are used again, and are not dumped.
#include "ringmta/base/hidden_memory.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <thread>

namespace ringmta {
namespace {

// VmFlags of the mapping that holds `address` (proc(5)): "dd" is MADV_DONTDUMP.
bool is_dumped(const void* address) {
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  std::ifstream maps("/proc/self/smaps");
  bool here = false;
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) {
      here = begin <= wanted && wanted < end;
    }
    if (here && line.starts_with("VmFlags:")) return line.find(" dd") == std::string::npos;
  }
  ADD_FAILURE() << "no mapping holds the address";
  return true;
}

TEST(HiddenMemory, IsNotDumped) {
  for (const size_t octets : {1UL, 100UL, 65'536UL, 70'000UL, 3'000'000UL}) {
    void* block = hidden_allocate(octets);
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(is_dumped(block), !hides_memory()) << octets;
    hidden_free(block);
  }
  int ordinary = 0;
  EXPECT_TRUE(is_dumped(&ordinary));
}

TEST(HiddenMemory, BlocksOfAllSizesDoNotOverlap) {
  std::mt19937 random(7);
  std::map<unsigned char*, size_t> blocks;
  const auto fill = [](unsigned char* block, size_t octets) {
    std::memset(block, static_cast<int>(octets % 251), octets);
  };
  const auto intact = [](const unsigned char* block, size_t octets) {
    for (size_t i = 0; i < octets; ++i) {
      if (block[i] != octets % 251) return false;
    }
    return true;
  };
  for (int round = 0; round < 5'000; ++round) {
    const uint32_t dice = random() % 16;
    if (dice < 8 || blocks.empty()) {
      const size_t octets = random() % (dice == 0 ? 200'000 : dice < 3 ? 20'000 : 300);
      auto* block = static_cast<unsigned char*>(hidden_allocate(octets));
      ASSERT_NE(block, nullptr);
      ASSERT_EQ(reinterpret_cast<uintptr_t>(block) % 16, 0U);
      fill(block, octets);
      ASSERT_TRUE(blocks.emplace(block, octets).second);
      continue;
    }
    auto one = std::next(blocks.begin(), static_cast<long>(random() % blocks.size()));
    auto [block, octets] = *one;
    ASSERT_TRUE(intact(block, octets));
    blocks.erase(one);
    if (dice < 12) {
      hidden_free(block);
      continue;
    }
    const size_t grown = octets + random() % 5'000;
    auto* moved = static_cast<unsigned char*>(hidden_resize(block, grown));
    ASSERT_NE(moved, nullptr);
    ASSERT_TRUE(intact(moved, octets) || octets == 0);
    fill(moved, grown);
    blocks.emplace(moved, grown);
  }
  for (const auto& [block, octets] : blocks) {
    ASSERT_TRUE(intact(block, octets));
    hidden_free(block);
  }
}

TEST(HiddenMemory, IsUsedAgainByOtherThreadsToo) {
  if (!hides_memory()) GTEST_SKIP() << "plain malloc under AddressSanitizer";
  const auto use = [] {
    std::vector<void*> blocks;
    for (int i = 0; i < 1000; ++i) blocks.push_back(hidden_allocate(1000));
    for (void* block : blocks) hidden_free(block);
  };
  use();
  std::thread(use).join();
  const size_t before = hidden_octets();
  for (int i = 0; i < 20; ++i) {
    use();
    std::thread(use).join();
  }
  EXPECT_EQ(hidden_octets(), before);
  void* large = hidden_allocate(1'000'000);
  EXPECT_GT(hidden_octets(), before);
  hidden_free(large);
  EXPECT_EQ(hidden_octets(), before);
}

TEST(HiddenMemory, ImpossibleSizesAreRefused) {
  EXPECT_EQ(hidden_allocate(SIZE_MAX / 2 + 1), nullptr);
  hidden_free(nullptr);
}

TEST(SecretTextTest, WipesWhatItIsMadeOf) {
  std::string typed = "pencil";  // short: within the object
  const SecretText secret(std::move(typed));
  EXPECT_EQ(secret.view(), "pencil");
  EXPECT_EQ(std::string_view(typed.data(), 6), std::string_view("\0\0\0\0\0\0", 6));
  EXPECT_EQ(is_dumped(secret.data()), !hides_memory());
  SecretText copy;
  copy = secret;
  EXPECT_TRUE(copy == secret);
  copy.wipe();
  EXPECT_TRUE(copy.empty());
  EXPECT_FALSE(copy == secret);
}

}  // namespace
}  // namespace ringmta
