// SPDX-License-Identifier: GPL-3.0-or-later
// The kept envelope: what went in comes out, however often the memory behind it has moved.
#include "ringmta/smtp/envelope_store.h"

#include <gtest/gtest.h>

#include <string>

namespace ringmta::smtp {
namespace {

TEST(EnvelopeStore, KeepsEverythingThroughGrowth) {
  EnvelopeStore store;
  for (int round = 0; round < 3; ++round) {
    {
      const std::string from = "bounces@sender.example", id = "envelope";
      EnvelopeView head;
      head.reverse_path = from;
      head.envelope_id = id;
      head.dsn_return = DsnReturn::headers;
      head.eight_bit = head.utf8 = true;
      store.begin(head);
    }
    for (int i = 0; i < 2000; ++i) {
      const std::string to = "recipient" + std::to_string(i) + "@some.example";
      const std::string original = i % 3 == 0 ? "rfc822;" + to : "";
      store.add({to, original, static_cast<uint8_t>(i % 16)});
    }
    const EnvelopeView view = store.view();
    EXPECT_EQ(view.reverse_path, "bounces@sender.example");
    EXPECT_EQ(view.envelope_id, "envelope");
    EXPECT_EQ(view.dsn_return, DsnReturn::headers);
    EXPECT_TRUE(view.eight_bit && view.utf8);
    ASSERT_EQ(view.recipients.size(), 2000U);
    for (size_t i = 0; i < 2000; ++i) {
      const std::string to = "recipient" + std::to_string(i) + "@some.example";
      EXPECT_EQ(view.recipients[i].address, to);
      EXPECT_EQ(view.recipients[i].original_recipient, i % 3 == 0 ? "rfc822;" + to : "");
      EXPECT_EQ(view.recipients[i].notify, i % 16);
    }
  }
  store.clear();
  EXPECT_EQ(store.recipients(), 0U);
  EXPECT_TRUE(store.view().reverse_path.empty());
  EXPECT_FALSE(store.view().utf8);
}

TEST(EnvelopeStore, NullReversePath) {
  EnvelopeStore store;
  store.begin({});
  store.add({"a@b", {}, 0});
  EXPECT_EQ(store.view().reverse_path, "");
  EXPECT_EQ(store.view().recipients[0].address, "a@b");
  EXPECT_EQ(store.view().recipients[0].original_recipient, "");
}

}  // namespace
}  // namespace ringmta::smtp
