// SPDX-License-Identifier: GPL-3.0-or-later
// One outcome, or one site or domain that is held, as one JSON line. Members that do not apply are
// left out, so a line says only what is known; `event` always comes first (readers may rely on
// `{"event":"` as the mark of a line's beginning).
#pragma once

#include <array>
#include <cstddef>
#include <string>

#include "json_text.h"
#include "ringmta/base/address.h"
#include "ringmta/base/time.h"
#include "ringmta/base/types.h"
#include "ringmta/queue/queue.h"

namespace ringmta::events {

class LineComposer final {
 public:
  LineComposer(std::string_view hostname, ShardId shard);

  // Octets the line may take at most, its line feed included.
  size_t bound(const queue::Outcome& outcome) const;
  // Writes the line with its line feed and returns its end; there is room for bound() octets.
  char* compose(char* to, const queue::Outcome& outcome, Monotonic now, WallTime wall);
  size_t bound(const queue::Held& held) const;
  char* compose(char* to, const queue::Held& held, WallTime wall);

 private:
  char* put_begin(char* to, std::string_view event, WallTime wall);
  char* put_now(char* to, WallTime wall);
  char* put_peer(char* to, const SocketAddress& peer);
  char* put_attempt(char* to, const queue::Outcome& outcome, Monotonic now);

  std::string origin_;   // `,"hostname":"...","shard":N`, the same in every line
  int64_t second_ = -1;  // that second_text_ is about
  std::array<char, kTimeTextLength> second_text_{};
  SocketAddress peer_{};   // that peer_text_ is about
  std::string peer_text_;  // `,"peer":"192.0.2.1:25"`
};

}  // namespace ringmta::events
