// SPDX-License-Identifier: GPL-3.0-or-later
// Content for BDAT out of content for DATA: without the dots that DATA needs in front of lines that
// begin with one (RFC 5321 4.5.2).
//
// The insight: the spool keeps what DATA sends, and leaving a dot out is no copy but one more part
// of the send. With BDAT a message is one write without a 354 to wait for, and others can ride
// along behind it; by DATA a stuffed message would hold up the whole pipeline.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ringmta::client {

inline constexpr size_t kStuffedDotsMax = 48;  // more are more parts than a send is worth

// `content`: wire form, closing ".CRLF" (which stays) and all, `wire_size` octets. Fills `parts`
// with it without its stuffed dots and says how many these were. 0: there are none, or more than
// kStuffedDotsMax; `parts` is of no use then.
size_t leave_out_stuffed_dots(std::span<const iovec> content, uint64_t wire_size,
                              std::vector<iovec>& parts);

}  // namespace ringmta::client
