// SPDX-License-Identifier: GPL-3.0-or-later
// A look at a ClientHello (RFC 8446 4.1.2, RFC 6066 3), so that a server can choose its certificate
// before the library sees anything. The library reads the same octets again and judges them;
// whatever is wrong with a hello is its business, this only says "nothing asked for".
#pragma once

#include <string>

#include "ringmta/base/bytes.h"

namespace ringmta::tls {

struct ClientHello {
  std::string server_name;  // in lower case; empty: none
  bool ecdsa = false;       // can verify ECDSA on P-256 or P-384, and has a cipher suite for it
};

enum class HelloState : uint8_t {
  incomplete,  // more octets are needed
  complete,
  other,  // not a ClientHello, or one beyond all bounds
};

inline constexpr size_t kHelloSizeMax = 20'480;  // records included

// `octets`: all that the client sent so far.
HelloState look_at_hello(Bytes octets, ClientHello& into);

}  // namespace ringmta::tls
