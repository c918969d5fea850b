// SPDX-License-Identifier: GPL-3.0-or-later
// What the operator decides about routing and retries. Plain data, filled by config/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ringmta/base/address.h"
#include "ringmta/base/time.h"
#include "ringmta/queue/job.h"

namespace ringmta::queue {

struct ResolvedHost {
  std::string name;         // as configured, "smtp.example.net:25", or the MX host's name
  SocketAddress address;    // one entry per address; those of one name stand together, in the order
                            // in which they are to be tried (RFC 6724)
  uint16_t preference = 0;  // of the MX record: lower is tried first; among equals the choice is
                            // random (RFC 5321 5.1)
};

struct RetryOptions {
  Milliseconds first = seconds(60);            // after the first failed attempt
  double factor = 2.0;                         // each further wait is so many times the last ...
  Milliseconds longest = hours(4);             // ... up to this
  double jitter = 0.2;                         // each wait is varied by up to this share, both ways
  Milliseconds expire_after = hours(72);       // then the message is returned as undeliverable
  Milliseconds delay_notice_after = hours(4);  // NOTIFY=DELAY: told once after so long
};

// Another schedule for some domains: the most exact rule wins, and it wins over the route's own.
struct RetryRule {
  std::vector<std::string> domains;  // patterns as in Route
  RetryOptions retry;
};

// Likewise for the sites of some MX hosts, whatever domains they serve. Rules for domains win over
// it.
struct SiteRetryRule {
  std::vector<std::string> hosts;  // patterns as in Route, for the site's most preferred host
  RetryOptions retry;
};

// Where mail for some domains goes.
struct Route {
  std::string name;
  std::vector<std::string> domains;  // "example.org", ".example.org" (subdomains), "*" (all others)
  std::vector<std::string> hosts;  // as configured: "name:port", "192.0.2.1:25", "[2001:db8::1]:25"
  uint32_t connections_max = 100;  // to the whole route, all shards together
  uint32_t messages_per_connection_max = 0;  // 0: any
  uint32_t recipients_per_message_max = 100;
  bool lmtp = false;
  std::optional<RetryOptions> retry;  // absent: QueueOptions::retry
};

inline constexpr uint32_t kNoRoute = UINT32_MAX;

// Domains found by MX that are spoken to in another way than others (TLS): such share a site and
// its connections only with their like, whatever their MX hosts are. What the way is, the pool
// knows. A rule for the domain wins over one for its MX hosts.
struct ConnectionRule {
  std::vector<std::string> domains;  // patterns as in Route; the most exact wins
  std::string label;                 // in the site's name: "mx.example.net (tls verified)"
  // Likewise for names of MX hosts. The most preferred host that has a rule decides for all hosts
  // of the site: what a rule names is never spoken to in another way.
  std::vector<std::string> hosts{};
};
inline constexpr uint32_t kNoRule = UINT32_MAX;

struct QueueOptions {
  std::string hostname = "localhost";  // reporting MTA of DSNs
  std::string postmaster;              // From of DSNs; empty: MAILER-DAEMON@hostname
  RetryOptions retry;
  std::vector<Route> routes;  // the first match wins: exact, then longest suffix, then "*"
  Route mx;  // limits of sites found by MX (domains without a route); its hosts and domains unused
  std::vector<RetryRule> retry_rules;
  std::vector<SiteRetryRule> site_retry_rules;
  std::vector<ConnectionRule> connection_rules;
  uint64_t dsn_return_max = 65536;  // octets of the original returned with RET=FULL
  // Living recipients of a shard at which no new mail is to be taken (172 octets each). What is
  // recovered, and notifications, come in beyond it.
  uint64_t recipients_max = 20'000'000;
};

// All domains reached through the same hosts.
struct Site {
  SiteId id{};
  std::string name;         // of the route, or the MX set; the same on every shard
  uint32_t route = 0;       // in QueueOptions::routes; kNoRoute: found by MX
  uint32_t rule = kNoRule;  // in QueueOptions::connection_rules, of sites found by MX
  std::vector<ResolvedHost> hosts;
  uint32_t connections_max = 0;              // all shards together
  uint32_t local_share = 0;                  // of this shard; 0: the home shard has them
  uint32_t messages_per_connection_max = 0;  // 0: any
  bool lmtp = false;
  ShardId home{};
};

}  // namespace ringmta::queue
