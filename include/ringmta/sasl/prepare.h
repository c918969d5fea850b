// SPDX-License-Identifier: GPL-3.0-or-later
// Names and passwords as SASL compares them: SASLprep (RFC 4013), which RFC 5802 asks for.
//
// ASCII without controls is left as it is and never reaches the library. Beyond ASCII the text is
// normalised (NFKC), so that an "é" made of one code point or of two is the same password; what
// SASLprep forbids (controls, private use, right-to-left mixed with left-to-right) is refused,
// never guessed at. Code points younger than Unicode 3.2, which SASLprep does not know, pass
// unchanged.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ringmta::sasl {

inline constexpr size_t kPreparedMax = 1024;  // octets of a name or password, before and after

// Nothing: not UTF-8, forbidden, empty, or too long. The caller wipes what it gets.
std::optional<std::string> prepare(std::string_view text);

}  // namespace ringmta::sasl
