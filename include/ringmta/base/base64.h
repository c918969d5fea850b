// SPDX-License-Identifier: GPL-3.0-or-later
// Base64 (RFC 4648 4), strict: one text for each sequence of octets. White space, missing padding
// and padding bits that are not zero are refused, so that what two readers see cannot differ.
// Whoever reads folded text takes the white space out first.
//
// The alphabet is computed rather than looked up: credentials pass through here, and the time an
// octet takes says nothing about it.
#pragma once

#include <string>
#include <string_view>

#include "ringmta/base/bytes.h"

namespace ringmta {

constexpr size_t base64_length(size_t octets) { return (octets + 2) / 3 * 4; }

// Appends, in one line.
void append_base64(Bytes octets, std::string& into);

// Appends what `text` stands for; false, and nothing appended, when it is not base64. The empty
// text stands for no octets.
bool append_base64_decoded(std::string_view text, std::string& into);

}  // namespace ringmta
