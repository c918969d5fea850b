// SPDX-License-Identifier: GPL-3.0-or-later
// The rows about taking mail in.
#include "key.h"
#include "names.h"

namespace ringmta::config {
namespace {

constexpr uint64_t kMany = 1'000'000'000;

constexpr Key kKeys[] = {
    {.section = "server",
     .name = "listen",
     .kind = Addresses{RINGMTA_AT(server.listeners), 25},
     .meaning = "Where mail is taken in. Every shard listens on each address (SO_REUSEPORT).",
     .example = "[\"127.0.0.1:25\", \"[::1]:25\"]",
     .at_start = true},
    {.section = "server",
     .name = "relay_networks",
     .kind = Networks{RINGMTA_AT(server.relay_networks)},
     .meaning = "Clients that may send to any recipient. Everyone else gets `550 5.7.1` at RCPT."},
    {.section = "server",
     .name = "sessions_max",
     .kind = Whole{RINGMTA_AT(server.sessions_max), 1, 1'000'000},
     .meaning = "Sessions, all shards together. More get `421 4.3.2`.",
     .at_start = true},
    {.section = "server",
     .name = "sessions_per_client_max",
     .kind = Whole{RINGMTA_AT(server.sessions_per_client_max), 0, 1'000'000},
     .meaning = "Sessions of one client address (IPv6: of its /64), all shards together; 0: any. "
                "More get `421 4.7.0`."},
    {.section = "server",
     .name = "message_size_max",
     .kind = Size{Whole{RINGMTA_AT(server.session.message_size_max), 1024, 1ULL << 30}},
     .meaning = "Told as SIZE (RFC 1870). Larger messages get `552 5.3.4`, at MAIL where the "
                "client says the size."},
    {.section = "server",
     .name = "recipients_max",
     .kind = Whole{RINGMTA_AT(server.session.recipients_max), 1, 100'000},
     .meaning = "Recipients of a message, told as LIMITS RCPTMAX (RFC 9422). Further ones get "
                "`452 4.5.3`."},
    {.section = "server",
     .name = "messages_max",
     .kind = Whole{RINGMTA_AT(server.session.messages_max), 0, kMany},
     .meaning = "Transactions of a session, told as LIMITS MAILMAX; 0: any. Then `421`."},
    {.section = "server",
     .name = "line_length_max",
     .kind = Whole{RINGMTA_AT(server.session.line_length_max), 512, 65536},
     .meaning = "Octets of a command line with its CRLF. Longer: `500 5.5.2`."},
    {.section = "server",
     .name = "text_line_length_max",
     .kind = Whole{RINGMTA_AT(server.session.text_line_length_max), 0, kMany},
     .meaning = "Octets of a line of content without its CRLF; 0: any length passes. Longer: "
                "`554 5.6.0`. RFC 5321 wants 998 to pass."},
    {.section = "server",
     .name = "hops_max",
     .kind = Whole{RINGMTA_AT(server.session.hops_max), 1, 1000},
     .meaning = "`Received:` lines. A message with more goes round in a loop: `554 5.4.6`."},
    {.section = "server",
     .name = "commands_max",
     .kind = Whole{RINGMTA_AT(server.session.commands_max), 0, kMany},
     .meaning = "Commands of a session; 0: any. Then `421 4.7.0`."},
    {.section = "server",
     .name = "errors_max",
     .kind = Whole{RINGMTA_AT(server.session.errors_max), 0, 100'000},
     .meaning = "Refusals that the client is to blame for since its last accepted message; 0: any. "
                "Then `421 4.7.0`."},
    {.section = "server",
     .name = "greeting_delay",
     .kind = Duration{RINGMTA_AT(server.timeouts.greeting_delay), {0}, minutes(2)},
     .meaning = "Wait before the 220. Who talks earlier is refused: `554 5.5.1`."},
    {.section = "server",
     .name = "add_missing_headers",
     .kind = Flag{RINGMTA_AT(server.add_missing_headers)},
     .meaning = "Add `Date:` and `Message-ID:` where they are missing."},
    {.section = "server",
     .name = "tenant_default",
     .kind = Text{RINGMTA_AT(server.tenant_default), check_label, "one word", true},
     .meaning = "Whom mail belongs to that has no better owner; it stands in events.",
     .example = "\"newsletter\""},
    {.section = "server",
     .name = "pipelining",
     .kind = Flag{RINGMTA_AT(server.session.pipelining)},
     .meaning = "Offer PIPELINING (RFC 2920)."},
    {.section = "server",
     .name = "chunking",
     .kind = Flag{RINGMTA_AT(server.session.chunking)},
     .meaning = "Offer CHUNKING, the BDAT command (RFC 3030)."},
    {.section = "server",
     .name = "eight_bit",
     .kind = Flag{RINGMTA_AT(server.session.eight_bit)},
     .meaning = "Offer 8BITMIME (RFC 6152)."},
    {.section = "server",
     .name = "smtputf8",
     .kind = Flag{RINGMTA_AT(server.session.smtputf8)},
     .meaning = "Offer SMTPUTF8 (RFC 6531)."},
    {.section = "server",
     .name = "dsn",
     .kind = Flag{RINGMTA_AT(server.session.dsn)},
     .meaning = "Offer DSN (RFC 3461)."},

    {.section = "server.timeouts",
     .name = "idle",
     .kind = Duration{RINGMTA_AT(server.timeouts.idle), {1}, hours(24)},
     .meaning = "Neither a whole command nor any content arrives from the client: `421 4.4.2`. "
                "RFC 5321 wants five minutes."},
    {.section = "server.timeouts",
     .name = "transaction",
     .kind = Duration{RINGMTA_AT(server.timeouts.transaction), {1}, hours(24)},
     .meaning = "From MAIL to the end of the content, however busy: `421 4.4.2`."},
    {.section = "server.timeouts",
     .name = "reply",
     .kind = Duration{RINGMTA_AT(server.timeouts.reply), {1}, hours(24)},
     .meaning = "The client does not take its replies: the connection is dropped."},
};

}  // namespace

std::span<const Key> server_keys() { return kKeys; }

}  // namespace ringmta::config
