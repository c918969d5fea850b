// SPDX-License-Identifier: GPL-3.0-or-later
// The sections, and all rows put together.
#include <algorithm>
#include <vector>

#include "key.h"

namespace ringmta::config {
namespace {

size_t count_routes(const Settings& s) { return s.queue.routes.size(); }
Settings only_route(const Settings& from, size_t which) {
  Settings settings = from;
  settings.queue.routes = {from.queue.routes.at(which)};
  settings.client.routes = {from.client.routes.at(which)};
  return settings;
}
size_t count_certificates(const Settings& s) { return s.server.tls.certificates.size(); }
Settings only_certificate(const Settings& from, size_t which) {
  Settings settings = from;
  settings.server.tls.certificates = {from.server.tls.certificates.at(which)};
  return settings;
}
size_t count_dkim_keys(const Settings& s) { return s.server.dkim.keys.size(); }
Settings only_dkim_key(const Settings& from, size_t which) {
  Settings settings = from;
  settings.server.dkim.keys = {from.server.dkim.keys.at(which)};
  return settings;
}
const client::Security& of_last_route(const Settings& s) {
  static const client::Security none;
  return s.client.routes.empty() ? none : s.client.routes.back();
}
size_t count_rules(const Settings& s) { return s.queue.retry_rules.size(); }
Settings only_rule(const Settings& from, size_t which) {
  Settings settings = from;
  settings.queue.retry_rules = {from.queue.retry_rules.at(which)};
  return settings;
}
size_t count_site_rules(const Settings& s) { return s.queue.site_retry_rules.size(); }
Settings only_site_rule(const Settings& from, size_t which) {
  Settings settings = from;
  settings.queue.site_retry_rules = {from.queue.site_retry_rules.at(which)};
  return settings;
}

const Section kSections[] = {
    {.name = "", .about = "These stand at the top of the file, above the first `[section]`."},
    {.name = "server", .about = "Taking mail in."},
    {.name = "server.timeouts", .about = "What a client may keep the relay waiting for."},
    {.name = "server.tls",
     .about = "TLS with clients; docs/tls.md says more. It is offered (STARTTLS) when there is a "
              "certificate."},
    {.name = "server.tls.certificate",
     .about = "A certificate that clients are shown, as many `[[server.tls.certificate]]` as are "
              "needed: by the name a client asks for, ECDSA before RSA where it knows both; the "
              "first for those that ask for none. Files are read at start and at each reload.",
     .begin = [](Settings& s) { s.server.tls.certificates.emplace_back(); },
     .count = count_certificates,
     .only = only_certificate},
    {.name = "auth", .about = "Users who log in, and what guessing passwords costs."},
    {.name = "dkim",
     .about = "Signing mail with DKIM (RFC 6376); [dkim.md](dkim.md) says how to set "
              "it up. Without a `[[dkim.keys]]` nothing is signed."},
    {.name = "dkim.keys",
     .about = "A key and the mail it signs. Every key that is for a message signs it, 8 at most.",
     .begin = [](Settings& s) { s.server.dkim.keys.emplace_back(); },
     .count = count_dkim_keys,
     .only = only_dkim_key},
    {.name = "route",
     .about = "Where mail for some domains goes: smart hosts. As many `[[route]]` as are needed. "
              "Domains "
              "that no route serves are delivered to by their MX records.",
     .begin =
         [](Settings& s) {
           s.queue.routes.emplace_back();
           s.client.routes.emplace_back().tls = s.client.mx.tls;
         },
     .count = count_routes,
     .only = only_route},
    {.name = "route.retry",
     .about = "A schedule of the route above it. What is not given is as in `[retry]`.",
     .begin = [](Settings& s) { s.queue.routes.back().retry = s.queue.retry; },
     .present =
         [](const Settings& s) {
           return !s.queue.routes.empty() && s.queue.routes.back().retry.has_value();
         }},
    {.name = "route.tls",
     .about = "How connections of the route above it are protected. What is not given is as in "
              "`[client.tls]`.",
     .begin =
         [](Settings& s) {
           s.client.routes.back().tls = s.client.mx.tls;
           s.client.routes.back().own_tls = true;
         },
     .present = [](const Settings& s) { return of_last_route(s).own_tls; }},
    {.name = "route.auth",
     .about = "Who we are at the hosts of the route above it (`docs/providers.md`). One of "
              "`password_file`, `token_file` and `token_command` must be given. What is wrong here "
              "holds the route's mail back and never returns it.",
     .begin = [](Settings& s) { s.client.routes.back().auth.emplace(); },
     .present = [](const Settings& s) { return of_last_route(s).auth.has_value(); }},
    {.name = "mx",
     .about = "Sites found by MX records: where mail goes for which there is no route."},
    {.name = "retry",
     .about = "When mail that could not be delivered is tried again, and when it is given up."},
    {.name = "retry.rule",
     .about = "A schedule for some domains, wherever their mail goes. What is not given is as in "
              "`[retry]`.",
     .begin = [](Settings& s) { s.queue.retry_rules.push_back({{}, s.queue.retry}); },
     .count = count_rules,
     .only = only_rule},
    {.name = "retry.site",
     .about = "A schedule for all domains without a route that certain MX hosts serve, such as a "
              "mailbox provider's. What is not given is as in `[retry]`. When a host that turns "
              "connections away is tried again is not said here but by `[client] "
              "host_retry_after`.",
     .begin = [](Settings& s) { s.queue.site_retry_rules.push_back({{}, s.queue.retry}); },
     .count = count_site_rules,
     .only = only_site_rule},
    {.name = "client", .about = "Delivering mail."},
    {.name = "client.timeouts",
     .about = "What a next hop may keep the relay waiting for (RFC 5321 4.5.3.2)."},
    {.name = "client.tls",
     .about = "How connections to next hops are protected (`docs/tls-out.md`)."},
    {.name = "client.tls.rule",
     .about = "The same for some domains found by MX, or for all that certain MX hosts serve. What "
              "is not given is as in `[client.tls]`.",
     .begin = [](Settings& s) { s.client.rules.push_back({{}, s.client.mx}); },
     .count = [](const Settings& s) { return s.client.rules.size(); },
     .only =
         [](const Settings& from, size_t which) {
           Settings settings = from;
           settings.client.rules = {from.client.rules.at(which)};
           return settings;
         },
     .at_start = true},
    {.name = "queue", .about = "Notifications about mail that could not be delivered."},
    {.name = "spool", .about = "Accepted mail on disk.", .at_start = true},
    {.name = "events",
     .about = "What became of each recipient, for whoever counts, bills or alarms.",
     .at_start = true},
    {.name = "process",
     .about =
         "Whom the relay runs as, and what it gives up at its start: [security.md](security.md).",
     .at_start = true},
    {.name = "control", .about = "The operator's door.", .at_start = true},
    {.name = "metrics", .about = "Figures for monitoring.", .at_start = true},
    {.name = "shards",
     .about = "Threads of the relay, each with its own ring, memory and log.",
     .at_start = true},
    {.name = "dns", .about = "The relay's own resolver; each shard has one."},
    {.name = "dns.cache", .about = "What it remembers.", .at_start = true},
    {.name = "ring",
     .about = "Sizes of each shard's io_uring; the defaults are right unless `ringmta status` says "
              "otherwise.",
     .at_start = true},
};

std::vector<Key> in_order_of_sections() {
  std::vector<Key> all;
  for (const auto part :
       {relay_keys(), server_keys(), tls_in_keys(), auth_keys(), dkim_keys(), route_keys(),
        queue_keys(), client_keys(), tls_out_keys(), operator_keys(), process_keys()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  std::stable_sort(all.begin(), all.end(), [](const Key& a, const Key& b) {
    return find_section(a.section) < find_section(b.section);
  });
  return all;
}

}  // namespace

std::string Key::path() const {
  return section.empty() ? std::string(name) : std::string(section) + "." + std::string(name);
}

std::span<const Section> sections() { return kSections; }

std::span<const Key> keys() {
  static const std::vector<Key> all = in_order_of_sections();
  return all;
}

const Section* find_section(std::string_view name) {
  const auto found = std::find_if(std::begin(kSections), std::end(kSections),
                                  [&](const Section& section) { return section.name == name; });
  return found == std::end(kSections) ? nullptr : found;
}

const Key* find_key(std::string_view section, std::string_view name) {
  for (const Key& key : keys()) {
    if (key.section == section && key.name == name) return &key;
  }
  return nullptr;
}

bool takes_effect_at_start(const Key& key) {
  return key.at_start || find_section(key.section)->at_start;
}

Settings one_of_each() {
  Settings settings = default_settings();
  for (const Section& section : sections()) {
    if (section.begin != nullptr) section.begin(settings);
  }
  return settings;
}

Settings default_settings() {
  Settings settings;
  settings.spool.directory = "/var/lib/ringmta/spool";
  settings.server.listeners = {*parse_socket_address("127.0.0.1:25", 25)};
  for (const char* network : {"127.0.0.0/8", "::1"}) {
    settings.server.relay_networks.push_back(*Network::parse(network));
  }
  return settings;
}

}  // namespace ringmta::config
