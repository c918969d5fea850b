// SPDX-License-Identifier: GPL-3.0-or-later
// A walk from line to line. Content has no bare LF (smtp/scan.h), so a line begins behind each LF.
#include "stuffed_dots.h"

#include <cstring>

namespace ringmta::client {

size_t leave_out_stuffed_dots(std::span<const iovec> content, uint64_t wire_size,
                              std::vector<iovec>& parts) {
  constexpr uint64_t kClosing = 3;  // ".CRLF"
  parts.clear();
  size_t dots = 0;
  uint64_t before = 0;  // octets of the parts already walked
  bool line_begins = true;
  for (const iovec& part : content) {
    auto* const whole = static_cast<char*>(part.iov_base);
    char* const end = whole + part.iov_len;
    char* begin = whole;  // of what stays
    for (char* at = whole; at != end;) {
      if (line_begins && *at == '.' &&
          before + static_cast<uint64_t>(at - whole) + kClosing < wire_size) {
        if (++dots > kStuffedDotsMax) return 0;
        if (at != begin) parts.push_back({begin, static_cast<size_t>(at - begin)});
        begin = at + 1;
      }
      auto* const line_feed =
          static_cast<char*>(std::memchr(at, '\n', static_cast<size_t>(end - at)));
      line_begins = line_feed != nullptr;
      at = line_begins ? line_feed + 1 : end;
    }
    if (begin != end) parts.push_back({begin, static_cast<size_t>(end - begin)});
    before += part.iov_len;
  }
  return dots;
}

}  // namespace ringmta::client
