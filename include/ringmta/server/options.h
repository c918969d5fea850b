// SPDX-License-Identifier: GPL-3.0-or-later
// What the operator decides about taking mail in. Plain data, filled by config/.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ringmta/base/address.h"
#include "ringmta/base/time.h"
#include "ringmta/dkim/options.h"
#include "ringmta/server/auth.h"
#include "ringmta/smtp/server_session.h"
#include "ringmta/tls/context.h"

namespace ringmta::server {

struct ServerTimeouts {
  Milliseconds idle = minutes(5);          // no whole command, no content arrives: 421 4.4.2
  Milliseconds transaction = minutes(30);  // from MAIL to the end of the content: 421 4.4.2
  Milliseconds reply =
      minutes(5);  // the client does not take our replies: the connection is dropped
  Milliseconds greeting_delay{
      0};  // wait so long before the 220; who talks earlier is refused (554 5.5.1)
  Milliseconds handshake = seconds(30);  // of TLS, from its beginning: the connection is dropped
};

// A certificate and its key, as files.
struct CertificateFiles {
  std::string certificate;  // PEM: the certificate, then its intermediates
  std::string key;          // PEM, not encrypted
};

struct ServerTls {
  std::vector<SocketAddress> listeners;        // TLS from the first octet (RFC 8314)
  std::vector<CertificateFiles> certificates;  // none: TLS is not offered
  bool required = false;                       // 530 5.7.0 until the client has begun TLS
  // Clients whose certificate may send to anywhere: issued by one of these roots (PEM file), or of
  // one of these SHA-256 fingerprints (hexadecimal, colons allowed).
  std::string client_roots;
  std::vector<std::string> client_fingerprints;
  Milliseconds ticket_rotation = hours(4);  // of the keys that seal session tickets; 0: no tickets
  uint32_t handshakes_per_turn = tls::HandshakeBudget::kStepsDefault;  // per shard

  // What the files held when the configuration was read.
  std::vector<tls::CertificateText> certificate_texts;
  std::string client_roots_pem;

  bool offered() const { return !certificates.empty(); }
  bool asks_clients() const { return !client_roots.empty() || !client_fingerprints.empty(); }
};

struct ServerOptions {
  std::vector<SocketAddress> listeners;  // every shard listens on each (SO_REUSEPORT)
  std::vector<Network> relay_networks;   // who may send to anywhere; default 127.0.0.0/8 and ::1
  smtp::ServerOptions session;
  AuthOptions auth;
  ServerTimeouts timeouts;
  ServerTls tls;
  uint32_t sessions_max = 20000;  // all shards together; more: 421 4.3.2
  uint32_t sessions_per_client_max =
      0;                       // per client address, all shards together; 0: any; more: 421 4.7.0
  std::string tenant_default;  // whom mail without a better owner belongs to
  Milliseconds expire_after = hours(72);  // of a message, from arrival (from [retry])
  bool add_missing_headers = true;        // Date and Message-ID
  dkim::Options dkim;                     // its keys are read by whoever calls sign_with()
};

}  // namespace ringmta::server
