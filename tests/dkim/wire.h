// SPDX-License-Identifier: GPL-3.0-or-later
// Content as it goes over the wire, made the plain way.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace ringmta::dkim {

// Dot-stuffed, closed by a line with a dot; a missing last line end is added.
inline std::string wire_form(std::string_view message) {
  std::string wire;
  bool line_start = true;
  char last = 0;
  for (const char c : message) {
    if (line_start && c == '.') wire.push_back('.');
    wire.push_back(c);
    line_start = c == '\n' && last == '\r';
    last = c;
  }
  if (!line_start) wire.append("\r\n");
  return wire.append(".\r\n");
}

inline void append_hex(std::span<const std::byte> octets, std::string& into) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (const std::byte octet : octets) {
    into.push_back(kDigits[static_cast<int>(octet) >> 4]);
    into.push_back(kDigits[static_cast<int>(octet) & 15]);
  }
}

}  // namespace ringmta::dkim
