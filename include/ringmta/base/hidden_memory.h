// SPDX-License-Identifier: GPL-3.0-or-later
// Memory that no core dump holds (MADV_DONTDUMP): private keys, passwords, and all that the TLS
// library allocates.
//
// The insight: a library copies a key on its way from text to numbers to tables, and what it frees
// lies about until somebody else writes over it. To wipe each copy one must know them all; to have
// them all in pages that are not dumped, one must know the allocator only.
//
// Blocks up to 64 KiB come from chunks that are the allocator's for ever and go back to lists of
// the thread that frees them: no lock, no system call. Larger ones are mappings of their own.
// Thread-safe; fails by std::bad_alloc, or null where a C library asks.
//
// With AddressSanitizer it is plain malloc, so that it sees every octet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/base/wipe.h"

namespace ringmta {

bool hides_memory();  // false: under AddressSanitizer

void* hidden_allocate(size_t octets) noexcept;  // aligned to 16; null: there is none
void* hidden_resize(void* block, size_t octets) noexcept;
void hidden_free(void* block) noexcept;
// What it has from the system, all threads together.
size_t hidden_octets();

template <typename T>
struct HiddenAllocator {
  using value_type = T;  // NOLINT(readability-identifier-naming): the standard's name
  HiddenAllocator() = default;
  template <typename U>
  HiddenAllocator(const HiddenAllocator<U>&) {}
  T* allocate(size_t count) {
    static_assert(alignof(T) <= 16);
    void* block = hidden_allocate(count * sizeof(T));
    if (block == nullptr) throw std::bad_alloc();
    return static_cast<T*>(block);
  }
  void deallocate(T* block, size_t) noexcept { hidden_free(block); }
  bool operator==(const HiddenAllocator&) const { return true; }
};

// Objects of a class that derives from it lie there, when made by new.
struct Hidden {
  static void* operator new(size_t octets) {
    void* block = hidden_allocate(octets);
    if (block == nullptr) throw std::bad_alloc();
    return block;
  }
  static void operator delete(void* block) { hidden_free(block); }
};

// A text that is a secret: never within the object itself as a short std::string would be, wiped at
// its end. What it is made of by a move is wiped at once.
class SecretText final {
 public:
  SecretText() = default;
  SecretText(std::string_view text) : octets_(text.begin(), text.end()) {}
  SecretText(const char* text) : SecretText(std::string_view(text)) {}
  SecretText(const std::string& text) : SecretText(std::string_view(text)) {}
  SecretText(std::string&& text) : SecretText(std::string_view(text)) { ringmta::wipe(text); }
  SecretText(const SecretText&) = default;
  SecretText(SecretText&&) noexcept = default;
  SecretText& operator=(const SecretText& other) {
    if (this != &other) SecretText(other).octets_.swap(octets_);
    return *this;
  }
  SecretText& operator=(SecretText&& other) noexcept {
    octets_.swap(other.octets_);
    return *this;
  }
  ~SecretText() { wipe(); }

  void wipe() {
    ringmta::wipe(octets_.data(), octets_.size());
    octets_.clear();
  }
  std::string_view view() const { return {octets_.data(), octets_.size()}; }
  operator std::string_view() const { return view(); }
  bool empty() const { return octets_.empty(); }
  size_t size() const { return octets_.size(); }
  const char* data() const { return octets_.data(); }
  char* data() { return octets_.data(); }
  void resize(size_t octets) { octets_.resize(octets); }  // growing leaves a copy in hidden memory
  bool operator==(const SecretText& other) const {
    return equal_in_constant_time(view(), other.view());
  }

 private:
  std::vector<char, HiddenAllocator<char>> octets_;
};

}  // namespace ringmta
