// SPDX-License-Identifier: GPL-3.0-or-later
// Strings, numbers and times as JSON wants them. Times are computed, not asked of the C library:
// no locale, no time zone, no lock.
#include "json_text.h"

#include <algorithm>
#include <charconv>

#include "ringmta/base/octets.h"

namespace ringmta::events {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr std::string_view kHex = "0123456789abcdef";

// Octets that need a closer look: control characters, quote, backslash, DEL and all beyond ASCII.
Octets16 special(Octets16 text) {
  return octets::control_or_high(text) | (text == '"') | (text == '\\');
}

char* put_code_unit(char* to, uint8_t value) {
  to = put(to, "\\u00");
  *to++ = kHex[value >> 4];
  *to++ = kHex[value & 15];
  return to;
}

// How many octets at the start of `text` are one valid UTF-8 character beyond ASCII (RFC 3629: no
// overlong forms, no surrogates, nothing above U+10FFFF); 0: none.
size_t utf8_length(std::string_view text) {
  const auto octet = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = octet(0);
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((octet(i) & 0xC0) != 0x80) return 0;
  }
  const uint8_t second = octet(1);
  if (first == 0xE0 && second < 0xA0) return 0;
  if (first == 0xED && second > 0x9F) return 0;
  if (first == 0xF0 && second < 0x90) return 0;
  if (first == 0xF4 && second > 0x8F) return 0;
  return length;
}

// One character, of which at least one octet is there; `text` is advanced past it.
char* put_character(char* to, std::string_view& text) {
  const auto first = static_cast<uint8_t>(text.front());
  size_t length = 1;
  if (first >= 0x80) {
    length = utf8_length(text);
    if (length == 0) {
      text.remove_prefix(1);
      return put(to, kReplacement);
    }
    if (first == 0xC2 && static_cast<uint8_t>(text[1]) < 0xA0) {  // C1: terminals obey them
      to = put_code_unit(to, static_cast<uint8_t>(text[1]));
    } else {
      to = put(to, text.substr(0, length));
    }
  } else if (first == '"' || first == '\\') {
    *to++ = '\\';
    *to++ = static_cast<char>(first);
  } else if (first == '\n') {
    to = put(to, "\\n");
  } else if (first == '\t') {
    to = put(to, "\\t");
  } else if (first < 0x20 || first == 0x7F) {
    to = put_code_unit(to, first);
  } else {
    *to++ = static_cast<char>(first);
  }
  text.remove_prefix(length);
  return to;
}

char* put_two(char* to, uint64_t number) {
  *to++ = static_cast<char>('0' + number / 10 % 10);
  *to++ = static_cast<char>('0' + number % 10);
  return to;
}

}  // namespace

char* put_escaped(char* to, std::string_view text) {
  if (!any_octet(text, special)) return put(to, text);
  while (!text.empty()) {
    const std::string_view piece = text.substr(0, sizeof(Octets16));
    if (!any_octet(piece, special)) {
      to = put(to, piece);
      text.remove_prefix(piece.size());
      continue;
    }
    const size_t rest = text.size() - piece.size();
    while (text.size() > rest) to = put_character(to, text);
  }
  return to;
}

char* put_number(char* to, uint64_t number) {
  if (number < 10) {  // most are: parts of a status, attempts, milliseconds
    *to = static_cast<char>('0' + number);
    return to + 1;
  }
  return std::to_chars(to, to + kNumberTextMax, number).ptr;
}

char* put_time(char* to, WallTime time) {
  constexpr int64_t kLast = 253402300799999;  // the end of year 9999
  const auto ms = static_cast<uint64_t>(std::clamp<int64_t>(time.ms, 0, kLast));
  const uint64_t second = ms / 1000;
  const uint64_t of_day = second % 86400;
  // Days to a date by eras of 400 years that begin on a 1st of March: the leap day comes last, so
  // the months' lengths are a linear formula (Hinnant, chrono-compatible low-level date
  // algorithms).
  const uint64_t days = second / 86400 + 719468;
  const uint64_t of_era = days % 146097;
  const uint64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const uint64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const uint64_t march_month = (5 * of_year + 2) / 153;
  const uint64_t day = of_year - (153 * march_month + 2) / 5 + 1;
  const uint64_t month = march_month < 10 ? march_month + 3 : march_month - 9;
  const uint64_t year = year_of_era + days / 146097 * 400 + (month <= 2 ? 1 : 0);
  to = put_two(to, year / 100);
  to = put_two(to, year % 100);
  *to++ = '-';
  to = put_two(to, month);
  *to++ = '-';
  to = put_two(to, day);
  *to++ = 'T';
  to = put_two(to, of_day / 3600);
  *to++ = ':';
  to = put_two(to, of_day / 60 % 60);
  *to++ = ':';
  to = put_two(to, of_day % 60);
  *to++ = '.';
  *to++ = static_cast<char>('0' + ms % 1000 / 100);
  to = put_two(to, ms % 100);
  *to++ = 'Z';
  return to;
}

}  // namespace ringmta::events
