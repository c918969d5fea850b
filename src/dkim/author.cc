// SPDX-License-Identifier: GPL-3.0-or-later
// Finds the author's domain in a From field (RFC 5322 3.4 with the obsolete forms of 4.4): display
// names, quoted strings, comments, groups and source routes are stepped over.
//
// One pass over the value keeps the place behind the last "@" outside quotes and comments. An
// address ends at ">", at a comma or semicolon, or with the field; the first one that had an "@" is
// the author.
#include "ringmta/base/bytes.h"
#include "ringmta/dkim/header_fields.h"

namespace ringmta::dkim {
namespace {

// Place behind the closing quote of the quoted string that begins at `at`.
size_t skip_quoted(std::string_view text, size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return at + 1;
}

// Likewise for a comment; comments nest.
size_t skip_comment(std::string_view text, size_t at) {
  int depth = 0;
  for (; at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;
    } else if (text[at] == '(') {
      ++depth;
    } else if (text[at] == ')' && --depth == 0) {
      break;
    }
  }
  return at + 1;
}

bool ends_domain(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '>' || c == ',' || c == ';' ||
         c == '(';
}

std::string_view first_domain(std::string_view value) {
  std::string_view domain;
  bool in_angle = false;
  for (size_t i = 0; i < value.size();) {
    const char c = value[i];
    if (c == '"') {
      i = skip_quoted(value, i);
    } else if (c == '(') {
      i = skip_comment(value, i);
    } else if (c == '@') {
      size_t begin = i + 1;
      while (begin < value.size() && (value[begin] == ' ' || value[begin] == '\t')) ++begin;
      size_t end = begin;
      while (end < value.size() && !ends_domain(value[end]) && value[end] != ':') ++end;
      // In a source route "<@a,@b:user@c>" the last one counts.
      domain = value.substr(begin, end - begin);
      i = std::max(end, i + 1);
    } else if (c == '<') {
      in_angle = true;
      domain = {};
      ++i;
    } else if (c == '>' || ((c == ',' || c == ';') && !in_angle)) {
      if (!domain.empty()) return domain;
      in_angle = false;
      ++i;
    } else {
      ++i;
    }
  }
  return domain;
}

}  // namespace

bool author_domain(const HeaderFields& fields, std::string& into) {
  into.clear();
  const uint32_t from = field_name_hash("from");
  for (const HeaderField& field : fields.fields()) {
    if (field.name_hash != from || !equals_ignoring_case(field.name(), "from")) continue;
    std::string_view domain = first_domain(field.value());
    while (domain.ends_with('.')) domain.remove_suffix(1);
    for (const char c : domain) into.push_back(ascii_lower(c));
    return !into.empty();
  }
  return false;
}

}  // namespace ringmta::dkim
