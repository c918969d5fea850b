// SPDX-License-Identifier: GPL-3.0-or-later
// The rows about TLS and authentication at next hops. How a connection is protected can be said in
// three places: [client.tls] for all, [[client.tls.rule]] for some domains found by MX or
// some MX hosts, [route.tls] for a route; so its rows are made three times, and what the more
// special ones leave out is taken from [client.tls].
#include <fmt/format.h>

#include <array>
#include <string>
#include <vector>

#include "key.h"
#include "names.h"
#include "ringmta/sasl/mechanism.h"
#include "values.h"

namespace ringmta::config {
namespace {

using client::AuthOptions;
using client::TlsOptions;

constexpr std::string_view kPolicies[] = {"none", "opportunistic", "required", "verified"};
constexpr std::string_view kModes[] = {"by_port", "starttls", "implicit"};

TlsOptions& of_all(Settings& s) { return s.client.mx.tls; }
TlsOptions& of_rule(Settings& s) { return s.client.rules.back().security.tls; }
TlsOptions& of_route(Settings& s) { return s.client.routes.back().tls; }
AuthOptions& auth(Settings& s) { return *s.client.routes.back().auth; }

template <TlsOptions& (*Of)(Settings&)>
constexpr std::array<Key, 5> tls_rows(std::string_view section) {
  std::array<Key, 5> rows = {{
      {.section = section,
       .name = "policy",
       .kind = Choice{kPolicies,
                      [](const Settings& s) {
                        return static_cast<uint8_t>(Of(const_cast<Settings&>(s)).policy);
                      },
                      [](Settings& s, uint8_t value) {
                        Of(s).policy = static_cast<client::TlsPolicy>(value);
                      }},
       .meaning =
           "`opportunistic`: TLS where it is offered and works, whoever answers; else clear text. "
           "`required`: encrypted or not at all. `verified`: and only to a host that proves its "
           "name. `none`: clear text. Mail that may not go waits, with 4.7.4 or 4.7.5 as reason."},
      {.section = section,
       .name = "roots",
       .kind = Text{[](Settings& s) -> auto& { return Of(s).roots_file; }, check_path,
                    "absolute path", true},
       .meaning =
           "PEM file of those who may vouch for a host, for `verified`. Empty: the system's.",
       .example = "\"/etc/ssl/certs/ca-certificates.crt\""},
      {.section = section,
       .name = "verify_name",
       .kind =
           Text{[](Settings& s) -> auto& { return Of(s).name; }, check_hostname, "host name", true},
       .meaning = "The name that is asked for and that the host must prove. Empty: the name of the "
                  "MX or smart host.",
       .example = "\"smtp.example.net\""},
      {.section = section,
       .name = "certificate",
       .kind = Text{[](Settings& s) -> auto& { return Of(s).certificate_file; }, check_path,
                    "absolute path", true},
       .meaning =
           "PEM file with our own certificate and its intermediates, shown to hosts that ask "
           "for one.",
       .example = "\"/etc/ringmta/client.pem\""},
      {.section = section,
       .name = "key",
       .kind = Text{[](Settings& s) -> auto& { return Of(s).key_file; }, check_path,
                    "absolute path", true},
       .meaning = "PEM file with its key, not encrypted.",
       .example = "\"/etc/ringmta/client.key\""},
  }};
  if (section != "client.tls") {
    for (Key& row : rows) row.default_text = "as in [client.tls]";
  }
  return rows;
}

Status check_mechanism(std::string_view text) {
  if (sasl::mechanism_named(text)) return {};
  return fail(
      "is none of PLAIN, LOGIN, SCRAM-SHA-256, SCRAM-SHA-256-PLUS, XOAUTH2 and OAUTHBEARER");
}

Status check_user(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return fail("has a control character");
  }
  return {};
}

Status check_argument(std::string_view text) {
  if (text.find('\0') == std::string_view::npos) return {};
  return fail("has a NUL in it");
}

constexpr Key kRows[] = {
    {.section = "client.tls",
     .name = "broken_for",
     .kind = Duration{RINGMTA_AT(client.tls.broken_for), seconds(1), hours(24 * 7)},
     .meaning = "A host whose TLS does not work is spoken to in clear text for so long, where the "
                "policy is `opportunistic`."},
    {.section = "client.tls",
     .name = "broken_max",
     .kind = Whole{RINGMTA_AT(client.tls.broken_max), 0, 1'000'000},
     .meaning = "So many of them are remembered, per shard.",
     .at_start = true},
    {.section = "client.tls",
     .name = "sessions_max",
     .kind = Whole{RINGMTA_AT(client.tls.sessions_max), 0, 1'000'000},
     .meaning = "Hosts whose session is kept, per shard, so that the next connection costs no "
                "public-key operation.",
     .at_start = true},
    {.section = "client.tls",
     .name = "handshake_steps_per_turn",
     .kind = Whole{RINGMTA_AT(client.tls.handshake_steps_per_turn), 1, 10'000},
     .meaning = "Steps of handshakes (0.1 to 1 ms each) a shard does before it looks after its "
                "other work."},

    {.section = "client.tls.rule",
     .name = "domains",
     .kind = Texts{RINGMTA_AT(client.rules.back().domains), check_route_domain, "domains"},
     .meaning = "Recipient domains, written as in a route. The most exact rule wins. It does not "
                "hold for domains of a route. A rule has either `domains` or `hosts`.",
     .example = "[\"example.org\"]"},
    {.section = "client.tls.rule",
     .name = "hosts",
     .kind = Texts{RINGMTA_AT(client.rules.back().hosts), check_route_domain, "hosts"},
     .meaning = "MX hosts, written as domains in a route: the rule holds for all domains they "
                "serve, but for those with a rule of their own. Of a domain's hosts the most "
                "preferred that has a rule decides. Whoever can forge MX records is not stopped "
                "by it: see `docs/tls-out.md`.",
     .example = "[\".mail.example.net\"]"},

    {.section = "route.tls",
     .name = "mode",
     .kind = Choice{kModes,
                    [](const Settings& s) {
                      return static_cast<uint8_t>(of_route(const_cast<Settings&>(s)).mode);
                    },
                    [](Settings& s, uint8_t value) {
                      of_route(s).mode = static_cast<client::TlsMode>(value);
                    }},
     .meaning = "`starttls`, or `implicit`: TLS from the first octet. `by_port`: implicit at port "
                "465."},

    {.section = "route.auth",
     .name = "user",
     .kind = Text{[](Settings& s) -> auto& { return auth(s).user; }, check_user, "text"},
     .meaning = "Who we are there.",
     .example = "\"relay@example.com\"",
     .required = true},
    {.section = "route.auth",
     .name = "password_file",
     .kind = Text{[](Settings& s) -> auto& { return auth(s).password_file; }, check_path,
                  "absolute path", true},
     .meaning = "File whose first line is the password.",
     .example = "\"/etc/ringmta/password\""},
    {.section = "route.auth",
     .name = "token_file",
     .kind = Text{[](Settings& s) -> auto& { return auth(s).token_file; }, check_path,
                  "absolute path", true},
     .meaning =
         "File with an OAuth 2 access token: its first line, or JSON with `access_token` and "
         "`expires_in`.",
     .example = "\"/run/ringmta/token\""},
    {.section = "route.auth",
     .name = "token_command",
     .kind = Texts{[](Settings& s) -> auto& { return auth(s).token_command; }, check_argument,
                   "program and arguments"},
     .meaning = "Command that prints such a token. It runs without a shell, for 30 s at most, once "
                "for all shards.",
     .example = "[\"/usr/local/bin/token\", \"mail\"]"},
    {.section = "route.auth",
     .name = "token_lifetime",
     .kind = Duration{[](Settings& s) -> auto& { return auth(s).token_lifetime; }, seconds(10),
                      hours(24 * 30)},
     .meaning = "A token that does not say how long it is good is fetched anew after so long, and "
                "whenever one is refused."},
    {.section = "route.auth",
     .name = "mechanisms",
     .kind = Texts{[](Settings& s) -> auto& { return auth(s).mechanisms; }, check_mechanism,
                   "mechanisms"},
     .meaning = "Only these, the first one that is offered. Empty: the strongest offered, of "
                "SCRAM-SHA-256-PLUS, SCRAM-SHA-256, PLAIN, LOGIN for a password, of OAUTHBEARER, "
                "XOAUTH2 for a token.",
     .example = "[\"PLAIN\"]"},
    {.section = "route.auth",
     .name = "without_tls",
     .kind = Flag{[](Settings& s) -> auto& { return auth(s).without_tls; }},
     .meaning = "Permission to send the password or token in clear text. Without it, TLS that is "
                "`opportunistic` is `required` here."},
};

constexpr auto kOfAll = tls_rows<of_all>("client.tls");
constexpr auto kOfRule = tls_rows<of_rule>("client.tls.rule");
constexpr auto kOfRoute = tls_rows<of_route>("route.tls");

std::vector<Key> all_rows() {
  std::vector<Key> rows;
  for (const auto& part : {kOfAll, kOfRule, kOfRoute}) {
    rows.insert(rows.end(), part.begin(), part.end());
  }
  rows.insert(rows.end(), std::begin(kRows), std::end(kRows));
  return rows;
}

}  // namespace

std::span<const Key> tls_out_keys() {
  static const std::vector<Key> rows = all_rows();
  return rows;
}

}  // namespace ringmta::config
