// SPDX-License-Identifier: GPL-3.0-or-later
// Are options something a verifier accepts? (RFC 6376 3.5, 5.4)
#pragma once

#include "ringmta/base/result.h"
#include "ringmta/dkim/signer.h"

namespace ringmta::dkim {

Status check(const SignatureOptions& options);

}  // namespace ringmta::dkim
