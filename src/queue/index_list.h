// SPDX-License-Identifier: GPL-3.0-or-later
// Doubly linked lists of pool entries, linked by slot number: half the size of pointers, and the
// entries stay movable in thought (a number says nothing about where memory lies). An entry has
// members `previous` and `next`; it is on one list at a time.
#pragma once

#include <cstdint>

#include "ringmta/base/assert.h"

namespace ringmta::queue {

inline constexpr uint32_t kNone = UINT32_MAX;

struct IndexList {
  uint32_t head = kNone;
  uint32_t tail = kNone;
  uint32_t count = 0;
  bool empty() const { return head == kNone; }
};

template <typename Pool>
void push_back(Pool& pool, IndexList& list, uint32_t index) {
  auto& entry = *pool.at_index(index);
  entry.previous = list.tail;
  entry.next = kNone;
  (list.tail == kNone ? list.head : pool.at_index(list.tail)->next) = index;
  list.tail = index;
  ++list.count;
}

template <typename Pool>
void push_front(Pool& pool, IndexList& list, uint32_t index) {
  auto& entry = *pool.at_index(index);
  entry.previous = kNone;
  entry.next = list.head;
  (list.head == kNone ? list.tail : pool.at_index(list.head)->previous) = index;
  list.head = index;
  ++list.count;
}

template <typename Pool>
void take_off(Pool& pool, IndexList& list, uint32_t index) {
  RINGMTA_ASSERT(list.count > 0);
  auto& entry = *pool.at_index(index);
  (entry.previous == kNone ? list.head : pool.at_index(entry.previous)->next) = entry.next;
  (entry.next == kNone ? list.tail : pool.at_index(entry.next)->previous) = entry.previous;
  entry.previous = entry.next = kNone;
  --list.count;
}

template <typename Pool>
uint32_t pop_front(Pool& pool, IndexList& list) {
  const uint32_t index = list.head;
  if (index != kNone) take_off(pool, list, index);
  return index;
}

}  // namespace ringmta::queue
