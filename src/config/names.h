// SPDX-License-Identifier: GPL-3.0-or-later
// What is a name: of this host, of a recipient's domain, of a smart host.
#pragma once

#include <string>
#include <string_view>

#include "ringmta/base/result.h"

namespace ringmta::config {

// A domain name of letters, digits and hyphens (RFC 1123 2.1, RFC 5890 2.3.1), 253 octets at most.
Status check_hostname(std::string_view text);

// What a route may serve: "example.org", ".example.org", "*"; internationalised names as they are.
Status check_route_domain(std::string_view text);

// "smtp.example.net", "smtp.example.net:587", "192.0.2.1:25", "[2001:db8::1]:25", "/run/lmtp".
Status check_host(std::string_view text);

// A mailbox with a domain, as it may stand in a From field.
Status check_mailbox(std::string_view text);

// An absolute path.
Status check_path(std::string_view text);

// One word of printable ASCII, for the names operators give to things.
Status check_label(std::string_view text);

}  // namespace ringmta::config
