// SPDX-License-Identifier: GPL-3.0-or-later
// A hash table from keys the owner knows to slot numbers: open addressing with linear probing and
// backward-shift deletion (Knuth, volume 3, 6.4, algorithm R), eight octets a cell, no allocation
// but when it doubles. The keys stay in the owner's entries; the owner compares.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "index_list.h"

namespace ringmta::queue {

constexpr uint64_t mix(uint64_t z) {  // the finaliser of splitmix64
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

// Eight octets at a time, the last eight overlapping those before them; the same in every shard and
// every run (rendezvous hashing relies on it).
inline uint64_t hash_text(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325ULL ^ text.size();
  const auto take = [&hash](uint64_t word) {
    hash = (hash ^ word) * 0x9E3779B97F4A7C15ULL;
    hash ^= hash >> 29;
  };
  const auto word_at = [text](size_t at) {
    uint64_t word = 0;
    std::memcpy(&word, text.data() + at, sizeof word);
    return word;
  };
  if (text.size() < sizeof(uint64_t)) {
    uint64_t word = 0;
    for (const char c : text) word = word << 8 | static_cast<uint8_t>(c);
    take(word);
  } else {
    size_t at = 0;
    for (; at + sizeof(uint64_t) < text.size(); at += sizeof(uint64_t)) take(word_at(at));
    take(word_at(text.size() - sizeof(uint64_t)));
  }
  return mix(hash);
}

class IndexTable final {
 public:
  IndexTable() : cells_(kCellsMin) {}

  template <typename Same>
  uint32_t find(uint64_t hash, Same&& same) const {
    const auto short_hash = static_cast<uint32_t>(hash);
    for (size_t at = short_hash & mask(); cells_[at].index != kNone; at = (at + 1) & mask()) {
      if (cells_[at].hash == short_hash && same(cells_[at].index)) return cells_[at].index;
    }
    return kNone;
  }

  void insert(uint64_t hash, uint32_t index) {
    if ((used_ + 1) * 3 > cells_.size() * 2) grow();
    put({static_cast<uint32_t>(hash), index});
    ++used_;
  }

  void erase(uint64_t hash, uint32_t index) {
    size_t hole = static_cast<uint32_t>(hash) & mask();
    while (cells_[hole].index != index) {
      RINGMTA_ASSERT(cells_[hole].index != kNone);
      hole = (hole + 1) & mask();
    }
    for (size_t at = (hole + 1) & mask(); cells_[at].index != kNone; at = (at + 1) & mask()) {
      const size_t home = cells_[at].hash & mask();
      if (((at - home) & mask()) >= ((at - hole) & mask())) {
        cells_[hole] = cells_[at];
        hole = at;
      }
    }
    cells_[hole] = {};
    --used_;
  }

  size_t size() const { return used_; }
  size_t memory_octets() const { return cells_.size() * sizeof(Cell); }

 private:
  static constexpr size_t kCellsMin = 64;
  struct Cell {
    uint32_t hash = 0;
    uint32_t index = kNone;
  };

  size_t mask() const { return cells_.size() - 1; }
  void put(Cell cell) {
    size_t at = cell.hash & mask();
    while (cells_[at].index != kNone) at = (at + 1) & mask();
    cells_[at] = cell;
  }
  void grow() {
    std::vector<Cell> old(cells_.size() * 2);
    old.swap(cells_);
    for (const Cell& cell : old) {
      if (cell.index != kNone) put(cell);
    }
  }

  std::vector<Cell> cells_;
  size_t used_ = 0;
};

}  // namespace ringmta::queue
