// SPDX-License-Identifier: GPL-3.0-or-later
// A fuzzer's input taken apart: choices from its front, text from the rest. What has run out is
// zero or empty, so that every input means something.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace ringmta::fuzz {

class Input final {
 public:
  Input(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}
  explicit Input(std::string_view text) : rest_(text) {}

  bool empty() const { return rest_.empty(); }
  uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  std::string_view take(size_t octets) {
    const std::string_view piece = rest_.substr(0, octets);
    rest_.remove_prefix(piece.size());
    return piece;
  }
  // Up to `end`, which is used up and not given.
  std::string_view until(char end) {
    const size_t at = rest_.find(end);
    const std::string_view piece = rest_.substr(0, at);
    rest_.remove_prefix(at == std::string_view::npos ? rest_.size() : at + 1);
    return piece;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

// Calls `each` with `text` in pieces of `length` octets, each in memory of its own of exactly that
// size, so that a read beyond it is seen by the sanitizer.
template <typename Each>
void in_pieces(std::string_view text, size_t length, Each each) {
  while (!text.empty()) {
    const std::string_view piece = text.substr(0, length);
    const std::vector<char> memory(piece.begin(), piece.end());
    each(std::string_view(memory.data(), memory.size()));
    text.remove_prefix(piece.size());
  }
}

}  // namespace ringmta::fuzz
