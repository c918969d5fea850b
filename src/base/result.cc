// SPDX-License-Identifier: GPL-3.0-or-later
// The system's words for an errno, put behind ours.
#include "ringmta/base/result.h"

#include <system_error>

namespace ringmta {

std::unexpected<Error> fail_errno(std::string what, int code) {
  what += ": ";
  what += std::generic_category().message(code);
  return fail(std::move(what), code);
}

}  // namespace ringmta
