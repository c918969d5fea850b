// SPDX-License-Identifier: GPL-3.0-or-later
// Two significant units or three significant digits: what fits in a table.
#include "text.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

namespace ringmta::cli {
namespace {

// Octets of the UTF-8 sequence at the start of `text` (RFC 3629); 0: it is not one.
size_t sequence_length(std::string_view text) {
  const auto octet = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = octet(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((octet(i) & 0xC0) != 0x80) return 0;
  }
  const bool overlong = (first == 0xE0 && octet(1) < 0xA0) || (first == 0xF0 && octet(1) < 0x90);
  const bool beyond = (first == 0xED && octet(1) > 0x9F) || (first == 0xF4 && octet(1) > 0x8F);
  return overlong || beyond ? 0 : length;
}

// Characters that move the cursor or turn the writing direction, though they are well-formed.
bool misleading(std::string_view sequence) {
  if (sequence.size() == 1) return sequence[0] < ' ' || sequence[0] == 127;
  if (sequence.size() == 2) {  // U+0080 to U+009F
    return sequence[0] == '\xC2' && static_cast<unsigned char>(sequence[1]) < 0xA0;
  }
  if (sequence.size() != 3 || sequence[0] != '\xE2') return false;
  const auto second = static_cast<unsigned char>(sequence[1]);
  const auto third = static_cast<unsigned char>(sequence[2]);
  return (second == 0x80 && (third == 0x8E || third == 0x8F || (third >= 0xA8 && third <= 0xAE))) ||
         (second == 0x81 && third >= 0xA6 && third <= 0xA9);
}

}  // namespace

std::string count_text(uint64_t number) {
  const std::string digits = std::to_string(number);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string octets_text(uint64_t octets) {
  constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  if (octets < 1024) return fmt::format("{} B", octets);
  double value = static_cast<double>(octets);
  size_t unit = 0;
  while (value >= 1023.5 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return value < 9.95 ? fmt::format("{:.1f} {}", value, kUnits[unit])
                      : fmt::format("{:.0f} {}", value, kUnits[unit]);
}

std::string span_text(Milliseconds span) {
  struct Unit {
    const char* name;
    int64_t milliseconds;
  };
  constexpr Unit kUnits[] = {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}};
  if (span.count < 0) return "-" + span_text({-span.count});
  if (span.count < 1000) return fmt::format("{} ms", span.count);
  for (size_t i = 0; i < std::size(kUnits); ++i) {
    if (span.count < kUnits[i].milliseconds) continue;
    const int64_t whole = span.count / kUnits[i].milliseconds;
    const int64_t rest = span.count % kUnits[i].milliseconds;
    if (i + 1 == std::size(kUnits) || rest < kUnits[i + 1].milliseconds) {
      return fmt::format("{} {}", whole, kUnits[i].name);
    }
    return fmt::format("{} {} {} {}", whole, kUnits[i].name, rest / kUnits[i + 1].milliseconds,
                       kUnits[i + 1].name);
  }
  return {};
}

std::string rate_text(double per_second) {
  if (!(per_second > 0)) return "0";
  if (per_second < 1) return fmt::format("{:.2f}", per_second);
  if (per_second < 99.95) return fmt::format("{:.1f}", per_second);
  return count_text(static_cast<uint64_t>(std::llround(per_second)));
}

std::string percent_text(double share) { return fmt::format("{:.0f}%", share * 100); }

std::string harmless(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const size_t length = sequence_length(text);
    const std::string_view sequence = text.substr(0, length == 0 ? 1 : length);
    if (text.front() == '\n' || text.front() == '\r' || text.front() == '\t') {
      result += ' ';
    } else if (length == 0 || misleading(sequence)) {
      result += '?';
    } else {
      result += sequence;
    }
    text.remove_prefix(sequence.size());
  }
  return result;
}

size_t width_of(std::string_view text) {
  size_t width = 0;
  for (const char c : text) width += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
  return width;
}

}  // namespace ringmta::cli
