// SPDX-License-Identifier: GPL-3.0-or-later
// How connections to next hops are protected, and who we say we are. Plain data, filled by config/.
//
// The insight: a policy belongs to a destination, but it acts on a connection, and connections are
// shared by all mail of a site. So what is here is told per route, per rule for domains or MX
// hosts, or for all the rest, and the queue keeps apart the sites of domains whose rules differ
// (queue::Site::rule): a connection in clear text is never met by mail that must not go over one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/base/time.h"
#include "ringmta/client/credentials.h"
#include "ringmta/queue/options.h"
#include "ringmta/tls/context.h"

namespace ringmta::client {

enum class TlsPolicy : uint8_t {
  none,           // clear text, even where TLS is offered
  opportunistic,  // where it is offered and works; whoever answers (RFC 7435)
  required,       // encrypted to whoever answers, or not at all
  verified,       // and only to who can prove the host's name (RFC 9525)
};

enum class TlsMode : uint8_t {
  by_port,   // implicit at port 465 (RFC 8314 3.3), else STARTTLS
  starttls,  // RFC 3207
  implicit,  // TLS from the first octet; there is no clear text to fall back to
};

struct TlsOptions {
  TlsPolicy policy = TlsPolicy::opportunistic;
  TlsMode mode = TlsMode::by_port;
  std::string name;                  // asked for and checked instead of the host's
  std::string roots_pem;             // `verified`: who may vouch for the peer
  tls::CertificateText certificate;  // ours, for peers that ask; empty: none
  std::string roots_file, certificate_file, key_file;  // where config/ has read these from
};

struct Security {
  TlsOptions tls;
  bool own_tls = false;             // of a route: `tls` is not the default
  std::optional<AuthOptions> auth;  // opportunistic TLS is then required, unless `without_tls`
};

struct SecurityRule {
  std::vector<std::string> domains;  // as in queue::ConnectionRule
  Security security;
  std::vector<std::string> hosts{};  // likewise; only one of both is given
};

// Of the whole shard.
struct TlsLimits {
  // How long a host whose TLS does not work is spoken to in clear text, where the policy allows it.
  Milliseconds broken_for = hours(1);
  uint32_t broken_max = 10'000;  // such hosts remembered; the oldest is forgotten first
  uint32_t sessions_max = 4096;  // hosts whose session is kept for resumption, per context
  uint32_t handshake_steps_per_turn = tls::HandshakeBudget::kStepsDefault;
};

std::string_view to_text(TlsPolicy policy);

// The name of a host as configured or found: "smtp.example.net:587" -> "smtp.example.net".
std::string_view name_without_port(std::string_view host);

}  // namespace ringmta::client
