// SPDX-License-Identifier: GPL-3.0-or-later
#include "ringmta/base/base64.h"

namespace ringmta {
namespace {

// All ones when a < b, else zero; both below 256.
constexpr uint32_t below(uint32_t a, uint32_t b) { return 0U - ((a - b) >> 31); }
constexpr uint32_t within(uint32_t value, uint32_t first, uint32_t last) {
  return ~below(value, first) & ~below(last, value);
}

constexpr char symbol(uint32_t six) {
  uint32_t code = 'A' + six;                   // 0..25
  code += below(25, six) & ('a' - 'A' - 26U);  // 26..51
  code += below(51, six) & ('0' - 'a' - 26U);  // 52..61; wraps around, as it should
  code += below(61, six) & ('+' - '0' - 10U);  // 62
  code += below(62, six) & ('/' - '+' - 1U);   // 63
  return static_cast<char>(code);
}

// 0..63; 64 and more: not in the alphabet.
constexpr uint32_t value_of(char c) {
  const uint32_t code = static_cast<unsigned char>(c);
  const uint32_t upper = within(code, 'A', 'Z'), lower = within(code, 'a', 'z');
  const uint32_t digit = within(code, '0', '9');
  const uint32_t plus = within(code, '+', '+'), slash = within(code, '/', '/');
  return (upper & (code - 'A')) | (lower & (code - 'a' + 26)) | (digit & (code - '0' + 52)) |
         (plus & 62) | (slash & 63) | (~(upper | lower | digit | plus | slash) & 64);
}

}  // namespace

void append_base64(Bytes octets, std::string& into) {
  const size_t begin = into.size();
  into.resize(begin + base64_length(octets.size()));
  char* out = into.data() + begin;
  const auto at = [&](size_t i) { return std::to_integer<uint32_t>(octets[i]); };
  size_t i = 0;
  for (; i + 3 <= octets.size(); i += 3) {
    const uint32_t group = at(i) << 16 | at(i + 1) << 8 | at(i + 2);
    for (int shift = 18; shift >= 0; shift -= 6) *out++ = symbol(group >> shift & 63);
  }
  if (i == octets.size()) return;
  const bool two = i + 2 == octets.size();
  const uint32_t group = at(i) << 16 | (two ? at(i + 1) << 8 : 0);
  *out++ = symbol(group >> 18);
  *out++ = symbol(group >> 12 & 63);
  *out++ = two ? symbol(group >> 6 & 63) : '=';
  *out = '=';
}

bool append_base64_decoded(std::string_view text, std::string& into) {
  if (text.size() % 4 != 0) return false;
  if (text.empty()) return true;
  const size_t padding = text.back() != '=' ? 0 : text[text.size() - 2] != '=' ? 1 : 2;
  const size_t begin = into.size();
  into.resize(begin + text.size() / 4 * 3);
  char* out = into.data() + begin;
  uint32_t wrong = 0;
  for (size_t i = 0; i < text.size(); i += 4) {
    uint32_t group = 0;
    for (size_t k = i; k < i + 4; ++k) {
      const uint32_t value = k < text.size() - padding ? value_of(text[k]) : 0;
      wrong |= value & 64;
      group = group << 6 | value;
    }
    for (int shift = 16; shift >= 0; shift -= 8) *out++ = static_cast<char>(group >> shift);
  }
  // The last group's octets that only padding made must be zero.
  for (size_t i = 1; i <= padding; ++i) wrong |= static_cast<unsigned char>(into[into.size() - i]);
  into.resize(wrong == 0 ? into.size() - padding : begin);
  return wrong == 0;
}

}  // namespace ringmta
