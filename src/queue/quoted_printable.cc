// SPDX-License-Identifier: GPL-3.0-or-later
// Quoted-printable, octet by octet: notifications that need it are few and small.
#include "quoted_printable.h"

namespace ringmta::queue {
namespace {

constexpr size_t kColumnMax = 75;  // and the "=" of a soft line break: 76 (RFC 2045 6.7, rule 5)
constexpr char kDigits[] = "0123456789ABCDEF";

bool stands_for_itself(char c, bool ends_line) {
  if (c == ' ' || c == '\t') return !ends_line;  // they get lost there (rule 3)
  return c > ' ' && c <= '~' && c != '=';
}

}  // namespace

std::string quoted_printable(std::string_view wire) {
  std::string result;
  result.reserve(wire.size() + wire.size() / 4);
  size_t column = 0;
  bool line_begins = true;
  for (size_t at = 0; at < wire.size(); ++at) {
    if (wire.substr(at, 2) == "\r\n") {
      result += "\r\n";
      column = 0;
      line_begins = true;
      ++at;
      continue;
    }
    const char c = wire[at];
    const bool stuffed = line_begins && c == '.';
    line_begins = false;
    if (stuffed) continue;
    const bool ends_line = at + 1 == wire.size() || wire.substr(at + 1, 2) == "\r\n";
    const bool plain = stands_for_itself(c, ends_line);
    if (column + (plain ? 1 : 3) > kColumnMax) {
      result += "=\r\n";
      column = 0;
    }
    if (plain && (c != '.' || column > 0)) {  // a dot in front would have to be stuffed
      result += c;
      ++column;
      continue;
    }
    const auto octet = static_cast<unsigned char>(c);
    result += '=';
    result += kDigits[octet >> 4];
    result += kDigits[octet & 0xF];
    column += 3;
  }
  return result;
}

}  // namespace ringmta::queue
