// SPDX-License-Identifier: GPL-3.0-or-later
// Quoted-printable (RFC 2045 6.7), for what a notification carries beyond ASCII: so that any host
// can take the notification, whatever it is about.
#pragma once

#include <string>
#include <string_view>

namespace ringmta::queue {

// Lines in wire form (ended by CRLF, dot-stuffed) become lines of ASCII in wire form that need no
// dot-stuffing. Decoded they are the lines as they were before they were stuffed.
std::string quoted_printable(std::string_view wire);

}  // namespace ringmta::queue
