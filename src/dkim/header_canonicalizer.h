// SPDX-License-Identifier: GPL-3.0-or-later
// Header canonicalization (RFC 6376 3.4.1, 3.4.2).
#pragma once

#include "ringmta/dkim/content_hasher.h"
#include "ringmta/dkim/header_fields.h"
#include "sha256.h"

namespace ringmta::dkim {

// `field` with its last CRLF ("simple"), or name in lower case, colon, unfolded value with runs of
// white space as one space, and CRLF ("relaxed"). `closing_line_end` false leaves out the CRLF at
// the end, as for the signature field itself (RFC 6376 3.7).
void hash_header_field(std::string_view text, size_t name_size, Canonicalization which,
                       bool closing_line_end, HashSink& sink);

}  // namespace ringmta::dkim
