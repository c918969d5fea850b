// SPDX-License-Identifier: GPL-3.0-or-later
// Names of segment files.
#include "segment.h"

#include <fmt/format.h>

#include <charconv>

namespace ringmta::spool {
namespace {

constexpr std::string_view kPrefix = "segment-";

bool parse_digits(std::string_view& text, size_t digits_min, uint32_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto digits = static_cast<size_t>(end - text.data());
  if (error != std::errc{} || digits < digits_min) return false;
  text.remove_prefix(digits);
  return true;
}

}  // namespace

std::string segment_name(uint32_t number) {
  return fmt::format("{}{:03}-{:06}", kPrefix, number & 0xFF, number >> 8);
}

bool parse_segment_name(const std::string& name, uint32_t& number) {
  std::string_view rest = name;
  uint32_t shard = 0;
  uint32_t count = 0;
  if (!rest.starts_with(kPrefix)) return false;
  rest.remove_prefix(kPrefix.size());
  if (!parse_digits(rest, 3, shard) || !rest.starts_with('-')) return false;
  rest.remove_prefix(1);
  if (!parse_digits(rest, 6, count) || !rest.empty() || shard > 0xFF || count == 0 ||
      count > 0xFFFFFF) {
    return false;
  }
  number = count << 8 | shard;
  return segment_name(number) == name;
}

}  // namespace ringmta::spool
