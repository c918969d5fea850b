// SPDX-License-Identifier: GPL-3.0-or-later
// The intrusive list: order, removal from anywhere, one element on two lists by two links.
#include "ringmta/base/intrusive_list.h"

#include <gtest/gtest.h>

#include <vector>

namespace ringmta {
namespace {

struct Item {
  explicit Item(int n) : number(n) {}
  int number;
  ListLink link;
  ListLink other;
};
using List = IntrusiveList<Item, &Item::link>;
using OtherList = IntrusiveList<Item, &Item::other>;

template <typename AnyList>
std::vector<int> numbers(const AnyList& list) {
  std::vector<int> result;
  for (Item* item = list.front(); item != nullptr; item = list.next(*item)) {
    result.push_back(item->number);
  }
  return result;
}

struct IntrusiveListTest : ::testing::Test {
  List list;
  Item one{1};
  Item two{2};
  Item three{3};
};

TEST_F(IntrusiveListTest, IsEmptyAtFirst) {
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.front(), nullptr);
  EXPECT_EQ(list.back(), nullptr);
  EXPECT_EQ(list.pop_front(), nullptr);
}

TEST_F(IntrusiveListTest, KeepsTheOrderOfPushing) {
  list.push_back(two);
  list.push_back(three);
  list.push_front(one);
  EXPECT_EQ(numbers(list), (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(list.front(), &one);
  EXPECT_EQ(list.back(), &three);
}

TEST_F(IntrusiveListTest, PopsFromTheFront) {
  list.push_back(one);
  list.push_back(two);
  EXPECT_EQ(list.pop_front(), &one);
  EXPECT_FALSE(one.link.linked());
  EXPECT_EQ(list.pop_front(), &two);
  EXPECT_TRUE(list.empty());
}

TEST_F(IntrusiveListTest, UnlinksFromTheMiddle) {
  list.push_back(one);
  list.push_back(two);
  list.push_back(three);
  two.link.unlink();
  EXPECT_EQ(numbers(list), (std::vector<int>{1, 3}));
  EXPECT_FALSE(two.link.linked());
  two.link.unlink();
  EXPECT_EQ(numbers(list), (std::vector<int>{1, 3}));
}

TEST_F(IntrusiveListTest, TakesAnUnlinkedItemAgain) {
  list.push_back(one);
  list.push_back(two);
  one.link.unlink();
  list.push_back(one);
  EXPECT_EQ(numbers(list), (std::vector<int>{2, 1}));
}

TEST_F(IntrusiveListTest, HoldsAnItemOnTwoListsByTwoLinks) {
  OtherList second;
  list.push_back(one);
  list.push_back(two);
  second.push_back(two);
  second.push_back(one);
  EXPECT_EQ(numbers(list), (std::vector<int>{1, 2}));
  EXPECT_EQ(numbers(second), (std::vector<int>{2, 1}));
  one.link.unlink();
  EXPECT_EQ(numbers(second), (std::vector<int>{2, 1}));
}

TEST_F(IntrusiveListTest, DiesWhenAnItemIsPushedTwice) {
  list.push_back(one);
  EXPECT_DEATH(list.push_back(one), "assertion failed");
}

}  // namespace
}  // namespace ringmta
