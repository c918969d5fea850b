// SPDX-License-Identifier: GPL-3.0-or-later
// The keys of TLS session tickets: made at start, rotated by a thread of its own, handed to every
// shard as a copy. They are never written anywhere, so tickets end with the process.
#pragma once

#include <memory>

#include "exchange.h"
#include "ringmta/server/options.h"
#include "ringmta/tls/tickets.h"

namespace ringmta::relay {

class TicketKeeper final {
 public:
  TicketKeeper();
  ~TicketKeeper();
  TicketKeeper(const TicketKeeper&) = delete;
  TicketKeeper& operator=(const TicketKeeper&) = delete;

  const tls::TicketKeys& keys() const;  // before start()
  // Rotates from now on as the options say; what is known stays known. Again after a reload.
  void start(const server::ServerTls& options, uint32_t shards, Exchange& exchange);
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ringmta::relay
