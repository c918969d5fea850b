// SPDX-License-Identifier: GPL-3.0-or-later
// What the operator asked of the sink.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ringmta/base/address.h"

namespace ringmta::tools {

struct SinkOptions {
  std::vector<SocketAddress> listeners;
  std::string replies;      // a program file; empty: everything is accepted
  std::string record;       // a directory for what was received; empty: nothing is kept
  std::string report_file;  // JSON at the end and on SIGUSR1
  std::string ready_file;
  bool verify = false;
  uint64_t deliveries = 0;  // leave after so many (recipients of accepted messages); 0 = never
  double idle_s = 0;        // leave after so long without a delivery, once there was one; 0 = never
  uint32_t threads = 1;
  bool json = false;
  bool quiet = false;
  uint64_t seed = 1;

  std::string hostname = "ringmta-sink.test";
  bool pipelining = true;
  bool chunking = true;
  bool eight_bit_mime = true;
  bool smtputf8 = true;
  bool enhanced_status_codes = true;
  bool dsn = true;
  uint64_t size_max = 100ULL * 1024 * 1024;  // 0 = SIZE is not offered
  uint32_t recipients_max = 1000;
  std::string tls_certificate, tls_key;   // PEM files; empty: no TLS
  bool tls_implicit = false;              // TLS from the first octet, else STARTTLS
  std::string auth;                       // SinkAuth::read(); empty: AUTH is not offered
  std::vector<std::string> capabilities;  // further EHLO lines, as they are
};

struct ParsedSinkOptions {
  SinkOptions options;
  bool run = false;
  int exit_code = 0;
};
ParsedSinkOptions parse_sink_options(int argc, char** argv);

}  // namespace ringmta::tools
