// SPDX-License-Identifier: GPL-3.0-or-later
#include "header_canonicalizer.h"

#include "ringmta/base/bytes.h"

namespace ringmta::dkim {
namespace {

// Of a field, only line ends before white space are left inside, so that a value is words between
// runs of these four octets.
constexpr bool is_gap(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

void hash_relaxed(std::string_view text, size_t name_size, HashSink& sink) {
  for (const char c : text.substr(0, name_size)) sink.append(ascii_lower(c));
  sink.append(':');
  std::string_view value = text.substr(text.find(':', name_size) + 1);
  bool first = true;
  while (true) {
    size_t begin = 0;
    while (begin < value.size() && is_gap(value[begin])) ++begin;
    value.remove_prefix(begin);
    if (value.empty()) return;
    size_t end = 0;
    while (end < value.size() && !is_gap(value[end])) ++end;
    if (!first) sink.append(' ');
    first = false;
    sink.append(value.substr(0, end));
    value.remove_prefix(end);
  }
}

}  // namespace

void hash_header_field(std::string_view text, size_t name_size, Canonicalization which,
                       bool closing_line_end, HashSink& sink) {
  if (text.ends_with("\r\n")) text.remove_suffix(2);
  if (which == Canonicalization::relaxed) {
    hash_relaxed(text, name_size, sink);
  } else {
    sink.append(text);
  }
  if (closing_line_end) sink.append("\r\n", 2);
}

}  // namespace ringmta::dkim
