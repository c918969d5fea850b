// SPDX-License-Identifier: GPL-3.0-or-later
// Text for notifications: cleaning what others wrote, folding, dates, xtext, and words of advice.
// Private to dsn.cc.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "ringmta/base/time.h"
#include "ringmta/queue/dsn.h"

namespace ringmta::queue {

// (operator+ of strings makes GCC 12 warn of overlaps that cannot be, PR 105651.)
std::string joined(std::initializer_list<std::string_view> pieces);

bool is_utf8(std::string_view text);

// One line without controls; octets above 127 stay only where `utf8` allows it and they are UTF-8,
// else become '?'.
std::string cleaned(std::string_view text, bool utf8);

// `first` and the words of `text`, folded before column 76 onto lines that begin with `next`, ended
// by CRLF. Every line stays below 998 octets (RFC 5322 2.1.1) and is dot-stuffed where it has to
// be.
void append_folded(std::string& into, std::string_view first, std::string_view next,
                   std::string_view text);

std::string date_text(WallTime time);  // RFC 5322 3.3, in UTC

std::string decode_xtext(std::string_view text);  // RFC 3461 4
// ORCPT="utf-8;..." (RFC 6533 3): \x{HEX} becomes the character.
std::string decode_utf8_address(std::string_view text);

// Value of the first field `name` in a header section in wire form, unfolded; empty when there is
// none.
std::string header_field(std::string_view header, std::string_view name);

// What a status means for the sender and what may be done about it; a sentence or two, or nothing.
std::string_view advice(smtp::EnhancedStatus status, DsnAction action);

}  // namespace ringmta::queue
