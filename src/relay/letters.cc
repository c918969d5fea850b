// SPDX-License-Identifier: GPL-3.0-or-later
// What becomes of letters that nobody will read any more: here it is known what they are.
#include "exchange.h"
#include "ringmta/dns/mx.h"
#include "task.h"

namespace ringmta::relay {

void Exchange::drop_letters() {
  for (bool any = true; any;) {
    any = false;
    for (uint16_t number = 0; number < shards_; ++number) {
      retry(ShardId{number});
      Letter letter;
      while (take(ShardId{number}, letter)) {
        any = true;
        if (letter.kind == Letter::Kind::task) Task::from_letter(letter.what);
        if (letter.kind == Letter::Kind::question || letter.kind == Letter::Kind::answer) {
          delete static_cast<dns::MxQuery*>(letter.what);
        }
      }
    }
  }
}

}  // namespace ringmta::relay
