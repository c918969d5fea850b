// SPDX-License-Identifier: GPL-3.0-or-later
#include "ringmta/base/wipe.h"

#include <string.h>

namespace ringmta {

void wipe(void* secret, size_t octets) { explicit_bzero(secret, octets); }

}  // namespace ringmta
