// SPDX-License-Identifier: GPL-3.0-or-later
// The rows about where mail goes and when it is tried again. A schedule can stand in three places:
// [retry] for all, [route.retry] for a route, [[retry.rule]] for some domains; so its rows are made
// three times, and what the more special ones leave out is taken from [retry].
#include <array>
#include <vector>

#include "key.h"
#include "names.h"

namespace ringmta::config {
namespace {

constexpr uint64_t kMany = 1'000'000'000;

constexpr Key kRouteRows[] = {
    {.section = "route",
     .name = "name",
     .kind = Text{RINGMTA_AT(queue.routes.back().name), check_label, "one word"},
     .meaning = "What events and `ringmta queue --site` call it.",
     .example = "\"default\"",
     .required = true},
    {.section = "route",
     .name = "domains",
     .kind = Texts{RINGMTA_AT(queue.routes.back().domains), check_route_domain, "domains"},
     .meaning =
         "Recipient domains: `\"example.org\"`, `\".example.org\"` (its subdomains), `\"*\"` "
         "(all others). The whole name goes before the longest suffix, that before `\"*\"`, "
         "whatever the order in the file.",
     .example = "[\"*\"]",
     .required = true},
    {.section = "route",
     .name = "hosts",
     .kind = Texts{RINGMTA_AT(queue.routes.back().hosts), check_host, "hosts"},
     .meaning = "Smart hosts that take this mail, `\"NAME:PORT\"` or `\"ADDRESS:PORT\"` (port 25 "
                "where none is written), all alike: connections go round among those that answer. "
                "A name counts with all its addresses.",
     .example = "[\"smtp.example.net:25\"]",
     .required = true},
    {.section = "route",
     .name = "connections_max",
     .kind = Whole{RINGMTA_AT(queue.routes.back().connections_max), 1, 100'000},
     .meaning = "Connections to the whole route, all shards together."},
    {.section = "route",
     .name = "messages_per_connection_max",
     .kind = Whole{RINGMTA_AT(queue.routes.back().messages_per_connection_max), 0, 1'000'000'000},
     .meaning = "Then the connection is closed; 0: any."},
    {.section = "route",
     .name = "recipients_per_message_max",
     .kind = Whole{RINGMTA_AT(queue.routes.back().recipients_per_message_max), 1, 100'000},
     .meaning = "Recipients in one transaction; the rest go in further ones."},
    {.section = "route",
     .name = "lmtp",
     .kind = Flag{RINGMTA_AT(queue.routes.back().lmtp)},
     .meaning = "The hosts speak LMTP (RFC 2033): LHLO, and a reply per recipient. Then a host "
                "may be the path of a Unix socket.",
     .at_start = true},

    {.section = "mx",
     .name = "connections_max",
     .kind = Whole{RINGMTA_AT(queue.mx.connections_max), 1, 100'000},
     .meaning = "Connections to one site (all domains with the same MX hosts), all shards "
                "together."},
    {.section = "mx",
     .name = "messages_per_connection_max",
     .kind = Whole{RINGMTA_AT(queue.mx.messages_per_connection_max), 0, kMany},
     .meaning = "Then the connection is closed; 0: any."},
    {.section = "mx",
     .name = "recipients_per_message_max",
     .kind = Whole{RINGMTA_AT(queue.mx.recipients_per_message_max), 1, 100'000},
     .meaning = "Recipients in one transaction; the rest go in further ones."},
    {.section = "mx",
     .name = "port",
     .kind = Whole{RINGMTA_AT(mx.port), 1, 65535},
     .meaning = "Where MX hosts are spoken to; other than 25 only for tests.",
     .at_start = true},
    {.section = "mx",
     .name = "inet4",
     .kind = Flag{RINGMTA_AT(mx.inet4)},
     .meaning = "Use their IPv4 addresses.",
     .at_start = true},
    {.section = "mx",
     .name = "inet6",
     .kind = Flag{RINGMTA_AT(mx.inet6)},
     .meaning = "Use their IPv6 addresses; false on a machine without IPv6 saves the questions.",
     .at_start = true},
    {.section = "mx",
     .name = "hosts_max",
     .kind = Whole{RINGMTA_AT(mx.hosts_max), 1, 100},
     .meaning = "Hosts of a domain that are used, the most preferred ones.",
     .at_start = true},
    {.section = "mx",
     .name = "addresses_per_host_max",
     .kind = Whole{RINGMTA_AT(mx.addresses_per_host_max), 1, 100},
     .meaning = "Addresses of a host that are used, of each family.",
     .at_start = true},

    {.section = "retry.rule",
     .name = "domains",
     .kind = Texts{RINGMTA_AT(queue.retry_rules.back().domains), check_route_domain, "domains"},
     .meaning = "Recipient domains, written as in a route. The most exact rule wins, also over "
                "`[route.retry]`.",
     .example = "[\"example.org\"]",
     .required = true},
    {.section = "retry.site",
     .name = "hosts",
     .kind = Texts{RINGMTA_AT(queue.site_retry_rules.back().hosts), check_route_domain, "hosts"},
     .meaning = "The most preferred MX host, written as a domain in a route. The most exact wins; "
                "`[[retry.rule]]` wins over it.",
     .example = "[\".mail.example.net\"]",
     .required = true},
};

using Schedule = queue::RetryOptions& (*)(Settings&);

queue::RetryOptions& of_all(Settings& s) { return s.queue.retry; }
// Without one of its own a route has that of all.
queue::RetryOptions& of_route(Settings& s) {
  auto& own = s.queue.routes.back().retry;
  return own ? *own : s.queue.retry;
}
queue::RetryOptions& of_rule(Settings& s) { return s.queue.retry_rules.back().retry; }
queue::RetryOptions& of_site(Settings& s) { return s.queue.site_retry_rules.back().retry; }

template <Schedule Of>
constexpr std::array<Key, 6> schedule_rows(std::string_view section) {
  std::array<Key, 6> rows = {{
      {.section = section,
       .name = "first",
       .kind = Duration{[](Settings& s) -> auto& { return Of(s).first; }, seconds(1), hours(24)},
       .meaning = "Wait after the first failed attempt."},
      {.section = section,
       .name = "factor",
       .kind = Fraction{[](Settings& s) -> auto& { return Of(s).factor; }, 1, 10},
       .meaning = "Each further wait is so many times the last."},
      {.section = section,
       .name = "longest",
       .kind =
           Duration{[](Settings& s) -> auto& { return Of(s).longest; }, seconds(1), hours(24 * 7)},
       .meaning = "No wait is longer. Where it is not given, never less than `first`."},
      {.section = section,
       .name = "jitter",
       .kind = Fraction{[](Settings& s) -> auto& { return Of(s).jitter; }, 0, 0.9},
       .meaning = "Each wait is varied by up to this share, both ways, so that what failed "
                  "together is not tried together."},
      {.section = section,
       .name = "expire_after",
       .kind = Duration{[](Settings& s) -> auto& { return Of(s).expire_after; }, seconds(1),
                        hours(24 * 30)},
       .meaning = "From arrival. Then the message is returned as undeliverable."},
      {.section = section,
       .name = "delay_notice_after",
       .kind = Duration{[](Settings& s) -> auto& { return Of(s).delay_notice_after; }, seconds(1),
                        hours(24 * 30)},
       .meaning = "A sender who asked for it (NOTIFY=DELAY) is told once after so long."},
  }};
  if (section != "retry") {
    for (Key& row : rows) row.default_text = "as in [retry]";
  }
  return rows;
}

constexpr auto kScheduleOfAll = schedule_rows<of_all>("retry");
constexpr auto kScheduleOfRoute = schedule_rows<of_route>("route.retry");
constexpr auto kScheduleOfRule = schedule_rows<of_rule>("retry.rule");
constexpr auto kScheduleOfSite = schedule_rows<of_site>("retry.site");

std::vector<Key> all_rows() {
  std::vector<Key> rows(std::begin(kRouteRows), std::end(kRouteRows));
  for (const auto& schedule :
       {kScheduleOfAll, kScheduleOfRoute, kScheduleOfRule, kScheduleOfSite}) {
    rows.insert(rows.end(), schedule.begin(), schedule.end());
  }
  return rows;
}

}  // namespace

std::span<const Key> route_keys() {
  static const std::vector<Key> rows = all_rows();
  return rows;
}

}  // namespace ringmta::config
