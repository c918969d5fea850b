// SPDX-License-Identifier: GPL-3.0-or-later
// A doubly linked list whose links live in the elements: no allocation, O(1) removal from the
// middle. The list owns nothing; an element is on at most one list per link member and must be
// unlinked before it dies.
#pragma once

#include <cstddef>

#include "ringmta/base/assert.h"

namespace ringmta {

struct ListLink {
  ListLink* previous = nullptr;
  ListLink* next = nullptr;

  bool linked() const { return next != nullptr; }
  void unlink() {
    if (next == nullptr) return;
    previous->next = next;
    next->previous = previous;
    next = previous = nullptr;
  }
};

template <typename T, ListLink T::* Link>
class IntrusiveList final {
 public:
  IntrusiveList() { head_.next = head_.previous = &head_; }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;

  bool empty() const { return head_.next == &head_; }
  T* front() const { return empty() ? nullptr : element(head_.next); }
  T* back() const { return empty() ? nullptr : element(head_.previous); }
  T* next(T& current) const {
    ListLink* link = (current.*Link).next;
    return link == &head_ ? nullptr : element(link);
  }
  void push_back(T& item) { insert(*head_.previous, item.*Link); }
  void push_front(T& item) { insert(head_, item.*Link); }
  T* pop_front() {
    T* item = front();
    if (item != nullptr) (item->*Link).unlink();
    return item;
  }

 private:
  static void insert(ListLink& after, ListLink& link) {
    RINGMTA_ASSERT(!link.linked());
    link.previous = &after;
    link.next = after.next;
    after.next->previous = &link;
    after.next = &link;
  }
  static T* element(ListLink* link) {
    // The offset of the link within T, taken from a pretend object that is never read.
    alignas(T) static std::byte pretend[sizeof(T)];
    auto* base = reinterpret_cast<T*>(pretend);
    const auto offset =
        reinterpret_cast<std::byte*>(&(base->*Link)) - reinterpret_cast<std::byte*>(base);
    return reinterpret_cast<T*>(reinterpret_cast<std::byte*>(link) - offset);
  }
  ListLink head_;
};

}  // namespace ringmta
