// SPDX-License-Identifier: GPL-3.0-or-later
// Exactly once: what is missing, incomplete or twice is named.
#include "tools/sink/ledger.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "ringmta/base/prng.h"

namespace ringmta::tools {
namespace {

using Ranges = std::vector<std::pair<uint64_t, uint64_t>>;

TEST(HashSet, RemembersEverythingAndNothingElse) {
  HashSet set;
  Prng prng(1);
  std::vector<uint64_t> values{0, 1, UINT64_MAX};
  for (int i = 0; i < 50'000; ++i) values.push_back(prng.next());
  EXPECT_FALSE(set.contains(5));
  EXPECT_TRUE(set.insert(values[0]));
  for (size_t i = 2; i < values.size(); ++i) EXPECT_TRUE(set.insert(values[i]));
  for (const uint64_t value : values) EXPECT_FALSE(set.insert(value));
  EXPECT_EQ(set.size(), values.size() - 1);  // 0 and 1 are one
  EXPECT_FALSE(set.contains(prng.next()));
}

TEST(Ledger, CompleteRunIsClean) {
  const auto ledger = std::make_unique<Ledger>();
  for (uint64_t index = 0; index < 5000; ++index) {
    const uint64_t recipients[] = {1, 2, 3};
    const auto duplicates = ledger->record("r", index, 3, recipients);
    ASSERT_EQ(duplicates.sure + duplicates.unsure, 0U);
  }
  const auto reports = ledger->report();
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0].messages, 5000U);
  EXPECT_EQ(reports[0].recipients, 15'000U);
  EXPECT_EQ(reports[0].highest_index, 4999U);
  EXPECT_EQ(reports[0].missing, 0U);
  EXPECT_EQ(reports[0].incomplete, 0U);
}

TEST(Ledger, NamesWhatIsMissing) {
  const auto ledger = std::make_unique<Ledger>();
  const uint64_t recipient[] = {9};
  for (uint64_t index = 0; index < 2000; ++index) {
    if (index < 3 || index == 700 || (index >= 1000 && index < 1500)) continue;
    ledger->record("r", index, 1, recipient);
  }
  const auto report = ledger->report().at(0);
  EXPECT_EQ(report.missing, 504U);
  EXPECT_EQ(report.missing_ranges, (Ranges{{0, 2}, {700, 700}, {1000, 1499}}));
}

TEST(Ledger, RecipientsMayComeInSeparateTransactions) {
  const auto ledger = std::make_unique<Ledger>();
  const uint64_t first[] = {1, 2};
  const uint64_t second[] = {3};
  ledger->record("r", 0, 3, first);
  EXPECT_EQ(ledger->report().at(0).incomplete, 1U);
  EXPECT_EQ(ledger->report().at(0).incomplete_recipients, 1U);
  EXPECT_EQ(ledger->report().at(0).incomplete_indexes, (std::vector<uint64_t>{0}));
  EXPECT_EQ(ledger->record("r", 0, 3, second).sure, 0U);
  EXPECT_EQ(ledger->report().at(0).incomplete, 0U);
}

TEST(Ledger, CountsWhatComesTwice) {
  const auto ledger = std::make_unique<Ledger>();
  const uint64_t recipients[] = {1, 2};
  const uint64_t one[] = {2};
  ledger->record("r", 7, 2, recipients);
  EXPECT_EQ(ledger->record("r", 7, 2, one).sure, 1U);
  EXPECT_EQ(ledger->record("r", 8, 2, recipients).sure, 0U);
  EXPECT_EQ(ledger->record("other", 7, 2, recipients).sure, 0U);
  EXPECT_EQ(ledger->report().size(), 2U);
}

TEST(Ledger, TwiceAfterABrokenConnectionIsCountedApart) {
  const auto ledger = std::make_unique<Ledger>();
  const uint64_t recipients[] = {1, 2};
  ledger->record("r", 7, 2, recipients);
  ledger->mark_unsure("r", 7, recipients);
  const auto duplicates = ledger->record("r", 7, 2, recipients);
  EXPECT_EQ(duplicates.sure, 0U);
  EXPECT_EQ(duplicates.unsure, 2U);
}

TEST(Ledger, ThreadsTogether) {
  const auto ledger = std::make_unique<Ledger>();
  const auto fill = [&](uint64_t remainder) {
    const uint64_t recipient[] = {1};
    for (uint64_t index = remainder; index < 20'000; index += 2)
      ledger->record("r", index, 1, recipient);
  };
  std::thread other(fill, 1);
  fill(0);
  other.join();
  EXPECT_EQ(ledger->report().at(0).messages, 20'000U);
  EXPECT_EQ(ledger->report().at(0).missing, 0U);
}

}  // namespace
}  // namespace ringmta::tools
