// SPDX-License-Identifier: GPL-3.0-or-later
// Views of octets. Wire text is handled as string_view (SMTP is a text protocol), memory to be read
// or written as spans of bytes; these helpers are the only place where one becomes the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace ringmta {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline Bytes as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// Little-endian loads and stores at any alignment (the spool's formats are little-endian).
template <typename T>
  requires std::is_trivially_copyable_v<T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}
template <typename T>
  requires std::is_trivially_copyable_v<T>
void store(std::byte* to, const T& value) {
  std::memcpy(to, &value, sizeof(T));
}

// ASCII only; never the locale.
constexpr char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
constexpr bool equals_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (ascii_lower(a[i]) != ascii_lower(b[i])) return false;
  }
  return true;
}
inline std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = ascii_lower(c);
  return result;
}

}  // namespace ringmta
