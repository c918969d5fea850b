// SPDX-License-Identifier: GPL-3.0-or-later
#include "ringmta/base/wipe.h"

#include <string.h>

#include "ringmta/base/wipe_stack.h"

namespace ringmta {

void wipe(void* secret, size_t octets) {
  if (octets != 0) explicit_bzero(secret, octets);  // of nothing, the address may be null
}

[[gnu::noinline]] void wipe_stack() {
  char below[65'536];
  explicit_bzero(below, sizeof below);
}

}  // namespace ringmta
