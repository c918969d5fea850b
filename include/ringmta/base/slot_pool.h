// SPDX-License-Identifier: GPL-3.0-or-later
// Objects of one kind in numbered slots with generations. Memory comes in chunks that never move,
// so pointers stay valid while an object lives; a handle to a freed slot is recognised by its
// generation. Freed slots are reused last-in first-out (warm in the cache). The pool never shrinks
// and never exceeds `capacity`: take() answers null at the limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "ringmta/base/assert.h"
#include "ringmta/base/types.h"

namespace ringmta {

template <typename T, uint32_t ChunkSlots = 256>
class SlotPool final {
 public:
  explicit SlotPool(uint32_t capacity) : capacity_(capacity) {}
  SlotPool(const SlotPool&) = delete;
  SlotPool& operator=(const SlotPool&) = delete;
  ~SlotPool() {
    for_each([](T& item, SlotHandle) { item.~T(); });
  }

  uint32_t size() const { return used_; }
  uint32_t capacity() const { return capacity_; }
  void set_capacity(uint32_t capacity) { capacity_ = capacity; }

  // The new object and its handle; null at the limit.
  template <typename... Arguments>
  T* take(SlotHandle& handle, Arguments&&... arguments) {
    if (used_ >= capacity_) return nullptr;
    if (free_head_ == kNone) grow();
    const uint32_t index = free_head_;
    Slot& slot = at(index);
    free_head_ = slot.next_free;
    slot.used = true;
    ++used_;
    handle = {index, slot.generation};
    return new (slot.storage) T(std::forward<Arguments>(arguments)...);
  }

  // Null when the handle is stale.
  T* find(SlotHandle handle) {
    if (handle.index >= slots_) return nullptr;
    Slot& slot = at(handle.index);
    if (!slot.used || slot.generation != handle.generation) return nullptr;
    return slot.object();
  }
  T& get(SlotHandle handle) {
    T* item = find(handle);
    RINGMTA_ASSERT(item != nullptr);
    return *item;
  }

  // The living object in slot `index`, for owners that link slots by number.
  T* at_index(uint32_t index) {
    RINGMTA_ASSERT(index < slots_ && at(index).used);
    return at(index).object();
  }
  SlotHandle handle_at(uint32_t index) {
    RINGMTA_ASSERT(index < slots_ && at(index).used);
    return {index, at(index).generation};
  }

  void release(SlotHandle handle) {
    T& item = get(handle);
    item.~T();
    Slot& slot = at(handle.index);
    slot.used = false;
    slot.generation = (slot.generation + 1) & kGenerationMask;
    slot.next_free = free_head_;
    free_head_ = handle.index;
    --used_;
  }

  // Every living object, in slot order. `visit(T&, SlotHandle)` may release the object it is given.
  template <typename Visit>
  void for_each(Visit&& visit) {
    for_each_from(0, slots_, visit);
  }
  // Slots [first, first + count): lets a caller walk a big pool in bounded slices.
  template <typename Visit>
  void for_each_from(uint32_t first, uint32_t count, Visit&& visit) {
    for (uint32_t i = first; i < slots_ && i - first < count; ++i) {
      Slot& slot = at(i);
      if (slot.used) visit(*slot.object(), SlotHandle{i, slot.generation});
    }
  }
  uint32_t slots() const { return slots_; }
  size_t memory_bytes() const { return chunks_.size() * sizeof(Chunk); }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Slot {
    alignas(T) std::byte storage[sizeof(T)];
    uint32_t generation = 0;
    uint32_t next_free = kNone;
    bool used = false;
    T* object() { return std::launder(reinterpret_cast<T*>(storage)); }
  };
  struct Chunk {
    Slot slots[ChunkSlots];
  };

  Slot& at(uint32_t index) { return chunks_[index / ChunkSlots]->slots[index % ChunkSlots]; }
  void grow() {
    chunks_.push_back(std::make_unique<Chunk>());
    for (uint32_t i = ChunkSlots; i-- > 0;) {
      chunks_.back()->slots[i].next_free = free_head_;
      free_head_ = slots_ + i;
    }
    slots_ += ChunkSlots;
  }

  std::vector<std::unique_ptr<Chunk>> chunks_;
  uint32_t capacity_;
  uint32_t slots_ = 0;
  uint32_t used_ = 0;
  uint32_t free_head_ = kNone;
};

}  // namespace ringmta
