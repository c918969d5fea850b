// SPDX-License-Identifier: GPL-3.0-or-later
// Seals and opens session tickets for the library.
#pragma once

#include <wolfssl/wolfcrypt/random.h>

#include "library.h"
#include "ringmta/tls/tickets.h"

namespace ringmta::tls {

class TicketSealer final {
 public:
  TicketSealer();
  ~TicketSealer();
  TicketSealer(const TicketSealer&) = delete;
  TicketSealer& operator=(const TicketSealer&) = delete;

  void set_keys(const TicketKeys& keys) { keys_ = keys; }

  // wolfSSL's SessionTicketEncCb; `context` is the sealer.
  static int callback(WOLFSSL* session, unsigned char* key_name, unsigned char* iv,
                      unsigned char* mac, int seal, unsigned char* ticket, int size, int* size_out,
                      void* context);

 private:
  TicketKeys keys_;
  WC_RNG rng_;
};

}  // namespace ringmta::tls
