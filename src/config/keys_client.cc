// SPDX-License-Identifier: GPL-3.0-or-later
// The rows about delivering mail.
#include <fmt/format.h>

#include "key.h"
#include "values.h"

namespace ringmta::config {
namespace {

Status read_source(SocketAddress& source, int family, std::string_view example,
                   const Value& value) {
  const auto wrong = [&](std::string_view why) {
    return fail(fmt::format("{}: write {}, or \"\" for the system's choice", why, example));
  };
  const std::string* text = value.as<std::string>();
  if (text == nullptr) return wrong("expects an address in quotes");
  if (text->empty()) {
    source = {};
    return {};
  }
  auto address = parse_socket_address(*text, 0);
  if (!address || address->family() != family || address->port() != 0) {
    return wrong(fmt::format("{} is not an {} address without a port", quoted(*text),
                             family == AF_INET ? "IPv4" : "IPv6"));
  }
  source = *address;
  return {};
}

std::string show_source(const SocketAddress& source) {
  return quoted(source.length == 0 ? std::string() : source.host_text());
}

constexpr Key kKeys[] = {
    {.section = "client",
     .name = "connections_max",
     .kind = Whole{RINGMTA_AT(client.connections_max), 1, 1'000'000},
     .meaning = "Connections per shard, all routes together.",
     .at_start = true},
    {.section = "client",
     .name = "host_retry_after",
     .kind = Duration{RINGMTA_AT(client.host_retry_after), seconds(1), hours(24)},
     .meaning = "A host that refuses connections or does not answer is left alone for so long, "
                "then for twice as long, and so on; each time one connection probes it. So is a "
                "host that says no instead of greeting us, whatever schedule `[[retry.rule]]` or "
                "`[[retry.site]]` gives its mail: no message has been tried. Where it is not "
                "given, never more than `[retry] first`."},
    {.section = "client",
     .name = "host_retry_longest",
     .kind = Duration{RINGMTA_AT(client.host_retry_longest), seconds(1), hours(24)},
     .meaning = "... up to this. Where it is not given, never more than `[retry] longest`, nor "
                "less than `host_retry_after`."},
    {.section = "client",
     .name = "hosts_tried_max",
     .kind = Whole{RINGMTA_AT(client.hosts_tried_max), 1, 100},
     .meaning = "Hosts of a site tried in a row before the site counts as unreachable."},
    {.section = "client",
     .name = "connection_age_max",
     .kind = Duration{RINGMTA_AT(client.connection_age_max), {0}, hours(24)},
     .meaning = "An older connection begins no further message; 0s: any age."},
    {.section = "client",
     .name = "lent_wait_max",
     .kind = Duration{RINGMTA_AT(client.lent_wait_max), seconds(1), hours(1)},
     .meaning = "A message lent to the shard that has the site's connections, and not begun there "
                "for so long, goes back."},
    {.section = "client",
     .name = "stalled_after",
     .kind = Duration{RINGMTA_AT(client.stalled_after), seconds(1), hours(1)},
     .meaning = "A connection without progress for so long is reported by the watchdog."},
    {.section = "client",
     .name = "warm_for",
     .kind = Duration{RINGMTA_AT(client.warm_for), {0}, hours(1)},
     .meaning = "The last connection to a place that had ten messages or more is kept so long "
                "without work, if that is longer than `timeouts.idle`."},
    {.section = "client",
     .name = "deliver_to_loopback",
     .kind = Flag{RINGMTA_AT(client.deliver_to_loopback)},
     .meaning = "Permission to connect to 127.0.0.0/8 and ::1 where DNS names them. Hosts that a "
                "`[[route]]` names are always spoken to.",
     .at_start = true},
    {.section = "client",
     .name = "source4",
     .kind =
         Special{[](Settings& s, const Value& value) {
                   return read_source(s.client.source4, AF_INET, "source4 = \"192.0.2.7\"", value);
                 },
                 [](const Settings& s) { return show_source(s.client.source4); }, "IPv4 address"},
     .meaning = "Connections to IPv4 hosts come from this address. Empty: the system chooses.",
     .example = "\"192.0.2.7\""},
    {.section = "client",
     .name = "source6",
     .kind = Special{
         [](Settings& s, const Value& value) {
           return read_source(s.client.source6, AF_INET6, "source6 = \"2001:db8::7\"", value);
         },
         [](const Settings& s) { return show_source(s.client.source6); }, "IPv6 address"},
     .meaning = "The same for IPv6.",
     .example = "\"2001:db8::7\""},
    {.section = "client",
     .name = "pipelining",
     .kind = Flag{RINGMTA_AT(client.session.pipelining)},
     .meaning = "Use PIPELINING where it is offered: the envelope in one write."},
    {.section = "client",
     .name = "chunking",
     .kind = Flag{RINGMTA_AT(client.session.chunking)},
     .meaning = "Use CHUNKING where it is offered: envelope and content in one write."},
    {.section = "client",
     .name = "chunking_size_max",
     .kind = Size{Whole{RINGMTA_AT(client.session.chunking_size_max), 0, 1ULL << 30}},
     .meaning = "Contents up to this size go out with the envelope, before the recipients are "
                "known to be accepted."},

    {.section = "client.timeouts",
     .name = "connect",
     .kind = Duration{RINGMTA_AT(client.timeouts.connect), {1}, hours(1)},
     .meaning = "For the connection to be made."},
    {.section = "client.timeouts",
     .name = "greeting",
     .kind = Duration{RINGMTA_AT(client.timeouts.greeting), {1}, hours(1)},
     .meaning = "For the 220."},
    {.section = "client.timeouts",
     .name = "ehlo",
     .kind = Duration{RINGMTA_AT(client.timeouts.ehlo), {1}, hours(1)},
     .meaning = "For the reply to EHLO."},
    {.section = "client.timeouts",
     .name = "tls",
     .kind = Duration{RINGMTA_AT(client.timeouts.tls), {1}, hours(1)},
     .meaning = "For the reply to STARTTLS, and for each flight of the handshake."},
    {.section = "client.timeouts",
     .name = "auth",
     .kind = Duration{RINGMTA_AT(client.timeouts.auth), {1}, hours(1)},
     .meaning = "For each reply while authenticating."},
    {.section = "client.timeouts",
     .name = "mail",
     .kind = Duration{RINGMTA_AT(client.timeouts.mail), {1}, hours(1)},
     .meaning = "For the reply to MAIL."},
    {.section = "client.timeouts",
     .name = "recipient",
     .kind = Duration{RINGMTA_AT(client.timeouts.recipient), {1}, hours(1)},
     .meaning = "For the reply to RCPT."},
    {.section = "client.timeouts",
     .name = "data",
     .kind = Duration{RINGMTA_AT(client.timeouts.data), {1}, hours(1)},
     .meaning = "For the 354."},
    {.section = "client.timeouts",
     .name = "content_block",
     .kind = Duration{RINGMTA_AT(client.timeouts.content_block), {1}, hours(1)},
     .meaning = "Without progress while content is sent."},
    {.section = "client.timeouts",
     .name = "content_end",
     .kind = Duration{RINGMTA_AT(client.timeouts.content_end), {1}, hours(1)},
     .meaning = "For the reply to the final dot. Too short a time makes duplicates: the host may "
                "have taken the message."},
    {.section = "client.timeouts",
     .name = "quit",
     .kind = Duration{RINGMTA_AT(client.timeouts.quit), {1}, hours(1)},
     .meaning = "For the reply to QUIT."},
    {.section = "client.timeouts",
     .name = "idle",
     .kind = Duration{RINGMTA_AT(client.timeouts.idle), {0}, hours(1)},
     .meaning = "A connection without work is kept for so long."},
};

}  // namespace

std::span<const Key> client_keys() { return kKeys; }

}  // namespace ringmta::config
