// SPDX-License-Identifier: GPL-3.0-or-later
// What the operator decides about taking mail in. Plain data, filled by config/.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ringmta/base/address.h"
#include "ringmta/base/time.h"
#include "ringmta/server/auth.h"
#include "ringmta/smtp/server_session.h"

namespace ringmta::server {

struct ServerTimeouts {
  Milliseconds idle = minutes(5);          // nothing arrives: 421 4.4.2
  Milliseconds transaction = minutes(30);  // from MAIL to the end of the content: 421 4.4.2
  Milliseconds reply =
      minutes(5);  // the client does not take our replies: the connection is dropped
  Milliseconds greeting_delay{
      0};  // wait so long before the 220; who talks earlier is refused (554 5.5.1)
};

struct ServerOptions {
  std::vector<SocketAddress> listeners;  // every shard listens on each (SO_REUSEPORT)
  std::vector<Network> relay_networks;   // who may send to anywhere; default 127.0.0.0/8 and ::1
  smtp::ServerOptions session;
  AuthOptions auth;
  ServerTimeouts timeouts;
  uint32_t sessions_max = 20000;  // per shard; more: 421 4.3.2
  uint32_t sessions_per_client_max =
      0;                       // per client address, all shards together; 0: any; more: 421 4.7.0
  std::string tenant_default;  // whom mail without a better owner belongs to
  Milliseconds expire_after = hours(72);  // of a message, from arrival (from [retry])
  bool add_missing_headers = true;        // Date and Message-ID
};

}  // namespace ringmta::server
