// SPDX-License-Identifier: GPL-3.0-or-later
// Assertions that stay on in release builds. A failed one is a bug of ours, never a fault of the
// environment: the process stops at once with the place and a backtrace, before a wrong state can
// reach the disk or a peer.
#pragma once

namespace ringmta {

[[noreturn, gnu::cold]] void assertion_failed(const char* expression, const char* file, int line);

}  // namespace ringmta

#define RINGMTA_ASSERT(expression)     \
  (__builtin_expect(!!(expression), 1) \
       ? static_cast<void>(0)          \
       : ::ringmta::assertion_failed(#expression, __FILE__, __LINE__))
