// SPDX-License-Identifier: GPL-3.0-or-later
// What the operator asked of the load generator.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ringmta/base/address.h"
#include "tools/load/mail.h"

namespace ringmta::tools {

enum class Pipelining : uint8_t {
  on,    // envelope in one write, the next envelope behind the end of data (RFC 2920)
  off,   // one command, one reply
  bdat,  // envelope and message in one write (RFC 3030), where the peer offers CHUNKING
};

// Servers' certificates are not verified: it is a test that is looked at here, not a peer.
enum class LoadTls : uint8_t {
  off,
  starttls,  // RFC 3207; a server that does not offer it is a failure
  implicit,  // from the first octet (RFC 8314)
};

struct LoadOptions {
  std::vector<SocketAddress> targets;
  uint64_t messages = 1000;
  bool messages_given = false;
  uint32_t sessions = 50;
  uint32_t threads = 1;
  double rate = 0;  // messages per second in all, 0 = as fast as it goes
  Pipelining pipelining = Pipelining::on;
  uint64_t messages_per_session = 0;  // 0 = unlimited
  uint32_t retry = 0;                 // times that a message answered 4xx is tried again
  uint32_t retry_delay_ms = 1000;
  uint32_t timeout_s = 60;           // for each reply
  uint32_t connect_patience_s = 10;  // how long a session keeps trying to connect
  LoadTls tls = LoadTls::off;
  std::vector<std::string> auth;   // whole AUTH commands, sessions take turns; none: no log-in
  bool tls_no_resumption = false;  // a full handshake for every connection
  std::string hello = "ringmta-load.test";
  bool json = false;
  bool quiet = false;
  MailOptions mail;
};

struct ParsedOptions {
  LoadOptions options;
  bool run = false;   // false: --help or an error was printed
  int exit_code = 0;  // then this is the answer
};

// Prints help or what is wrong itself.
ParsedOptions parse_load_options(int argc, char** argv);

}  // namespace ringmta::tools
