// SPDX-License-Identifier: GPL-3.0-or-later
// The first line of a content, octet by octet: a handful of them decide.
#include "ringmta/smtp/first_line.h"

namespace ringmta::smtp {

FirstLine::Verdict FirstLine::look(std::string_view octets) {
  for (const char c : octets) {
    if (length_ == 0 && dot_goes_ && c == '.') {
      dot_goes_ = false;
      continue;
    }
    // An empty line; what is wrong with a CR that no LF follows is the scanner's to say.
    if (length_ == 0 && c == '\r') return Verdict::header;
    if (c == ' ' || c == '\t') {
      if (length_ == 0) return Verdict::body;
      blank_ = true;
    } else if (c == ':') {
      return length_ == 0 ? Verdict::body : Verdict::header;
    } else if (c < '!' || c > '~' || blank_) {  // a char above 127 is negative, or above '~'
      return Verdict::body;
    }
    if (++length_ > kNameMax) return Verdict::body;
  }
  return Verdict::undecided;
}

}  // namespace ringmta::smtp
