// SPDX-License-Identifier: GPL-3.0-or-later
// Size classes, four to a power of two, and a list of free blocks of each per thread. A block tells
// its class in the 16 octets in front of it.
#include "ringmta/base/hidden_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>

namespace ringmta {

#if defined(__SANITIZE_ADDRESS__)

bool hides_memory() { return false; }
// The sanitizer's malloc ends the process where any other says that there is no such memory.
void* hidden_allocate(size_t octets) noexcept {
  return octets > SIZE_MAX / 4 ? nullptr : std::malloc(octets);
}
void* hidden_resize(void* block, size_t octets) noexcept { return std::realloc(block, octets); }
void hidden_free(void* block) noexcept { std::free(block); }
size_t hidden_octets() { return 0; }

#else

namespace {

constexpr size_t kHeader = 16;
constexpr size_t kSmallest = 64;           // with its header
constexpr size_t kLargest = 65'536 + 256;  // of what comes from chunks, with its header
constexpr size_t kClasses = 48;
constexpr size_t kChunk = 1U << 20;
constexpr uint32_t kOwnMapping = UINT32_MAX;

struct Header {
  uint64_t octets = 0;  // of the whole block
  uint32_t which = 0;   // its class, or kOwnMapping
  uint32_t unused = 0;
};
static_assert(sizeof(Header) == kHeader);

struct FreeBlock {
  FreeBlock* next = nullptr;
};

struct Lists {
  std::array<FreeBlock*, kClasses> free{};
  std::byte* chunk = nullptr;
  size_t left = 0;
};

constexpr size_t rounded(size_t octets) {
  octets = std::max(octets, kSmallest);
  const size_t step = std::bit_floor(octets) / 4;
  return (octets + step - 1) / step * step;
}

constexpr uint32_t class_of(size_t rounded_octets) {
  const auto power = static_cast<uint32_t>(std::bit_width(rounded_octets)) - 1;
  const size_t step = (size_t{1} << power) / 4;
  return (power - 6) * 4 + static_cast<uint32_t>(rounded_octets / step - 4);
}
static_assert(class_of(kSmallest) == 0 && class_of(rounded(kLargest)) < kClasses);

// Constant from the beginning and never destroyed: libraries free their last blocks at the very
// end.
constinit thread_local Lists mine;
constinit Lists left_behind;  // by threads that have ended
constinit std::mutex left_behind_lock;
constinit std::atomic<size_t> from_system{0};

struct Donor {
  ~Donor() {
    const std::lock_guard guard(left_behind_lock);
    for (size_t i = 0; i < kClasses; ++i) {
      while (FreeBlock* block = mine.free[i]) {
        mine.free[i] = block->next;
        block->next = left_behind.free[i];
        left_behind.free[i] = block;
      }
    }
  }
};

std::byte* map(size_t octets) {
  void* memory = mmap(nullptr, octets, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  madvise(memory, octets, MADV_DONTDUMP);
  from_system.fetch_add(octets, std::memory_order_relaxed);
  return static_cast<std::byte*>(memory);
}

void* begin_block(std::byte* at, size_t octets, uint32_t which) {
  *reinterpret_cast<Header*>(at) = {octets, which, 0};
  return at + kHeader;
}

Header& header_of(void* block) {
  return *reinterpret_cast<Header*>(static_cast<std::byte*>(block) - kHeader);
}

void* fresh_block(size_t octets, uint32_t which) {
  thread_local Donor donor;
  static_cast<void>(donor);
  if (mine.left < octets) {
    const std::lock_guard guard(left_behind_lock);
    if (FreeBlock* block = left_behind.free[which]) {
      left_behind.free[which] = block->next;
      return block;
    }
    std::byte* chunk = map(kChunk);
    if (chunk == nullptr) return nullptr;
    mine.chunk = chunk;  // the rest of the last one is given up
    mine.left = kChunk;
  }
  std::byte* at = mine.chunk;
  mine.chunk += octets;
  mine.left -= octets;
  return begin_block(at, octets, which);
}

}  // namespace

bool hides_memory() { return true; }
size_t hidden_octets() { return from_system.load(std::memory_order_relaxed); }

void* hidden_allocate(size_t octets) noexcept {
  if (octets > SIZE_MAX / 2) return nullptr;
  const size_t whole = rounded(octets + kHeader);
  if (whole > kLargest) {
    const size_t pages = (octets + kHeader + 4095) / 4096 * 4096;
    std::byte* memory = map(pages);
    return memory == nullptr ? nullptr : begin_block(memory, pages, kOwnMapping);
  }
  const uint32_t which = class_of(whole);
  FreeBlock* block = mine.free[which];
  if (block == nullptr) return fresh_block(whole, which);
  mine.free[which] = block->next;
  return block;
}

void hidden_free(void* block) noexcept {
  if (block == nullptr) return;
  const Header header = header_of(block);
  if (header.which == kOwnMapping) {
    munmap(static_cast<std::byte*>(block) - kHeader, header.octets);
    from_system.fetch_sub(header.octets, std::memory_order_relaxed);
    return;
  }
  auto* free_block = static_cast<FreeBlock*>(block);
  free_block->next = mine.free[header.which];
  mine.free[header.which] = free_block;
}

void* hidden_resize(void* block, size_t octets) noexcept {
  if (block == nullptr) return hidden_allocate(octets);
  const size_t room = header_of(block).octets - kHeader;
  if (octets <= room) return block;
  void* larger = hidden_allocate(octets);
  if (larger == nullptr) return nullptr;
  std::memcpy(larger, block, room);
  hidden_free(block);
  return larger;
}

#endif

}  // namespace ringmta
