// SPDX-License-Identifier: GPL-3.0-or-later
// Where the library gets octets from and puts them to: memory of the session whose step() runs.
#pragma once

#include <string>
#include <string_view>

#include "library.h"
#include "ringmta/base/bytes.h"

namespace ringmta::tls {

struct Transport {
  std::string held;  // what came before there was a library session (the ClientHello)
  size_t held_used = 0;
  Bytes input;  // what step() was given and has not been taken
  std::string output;
  std::string_view server_name;  // server: what the client asked for; tickets are bound to it

  // What a peer can ask for at no cost to itself (TLS 1.3 lets it send any number of KeyUpdates,
  // each of which costs two key derivations and, if asked for, an answer; RFC 8446 4.6.3) is paid
  // for by application data.
  uint64_t taken = 0;    // octets
  uint64_t records = 0;  // put out by the library
  size_t waiting() const { return held.size() - held_used + input.size(); }
};

// Sessions of this context take their Transport by wolfSSL_SetIOReadCtx and wolfSSL_SetIOWriteCtx.
void use_transport(WOLFSSL_CTX* context);

}  // namespace ringmta::tls
