// SPDX-License-Identifier: GPL-3.0-or-later
// The library as a whole: its start, its words for what went wrong.
#pragma once

#include <wolfssl/ssl.h>

#include <string>
#include <string_view>

namespace ringmta::tls {

// Before the first context; any number of times, on any thread.
void start_library();

// A sentence part for an operator: "its certificate has expired". `code` as of wolfSSL_get_error().
std::string words_for(int code);
std::string_view alert_name(int code);  // RFC 8446 6

}  // namespace ringmta::tls
