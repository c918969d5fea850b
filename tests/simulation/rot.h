// SPDX-License-Identifier: GPL-3.0-or-later
// A disk that changes what it stores: a bit here, a bit there. Whose message it was is noted in the
// ledger; what lies between the messages (notes, headers) may be anybody's.
#pragma once

#include "ledger.h"
#include "ringmta/base/prng.h"
#include "ringmta/sim/world.h"

namespace ringmta::simulation {

// One bit of one message's record in the log, or of anything that lies there. False: there was
// nothing to change.
bool rot(sim::World& world, Ledger& ledger, Prng& random, const std::string& spool, bool anywhere);

}  // namespace ringmta::simulation
