// SPDX-License-Identifier: GPL-3.0-or-later
// How the process stops on a bug: one line, a backtrace, abort(). Only async-signal-safe calls,
// since the heap may be what is broken.
#include "ringmta/base/assert.h"

#include <execinfo.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>

namespace ringmta {

void assertion_failed(const char* expression, const char* file, int line) {
  std::array<char, 512> text{};
  const int length =
      std::snprintf(text.data(), text.size(), "ringmta: bug: assertion failed: %s (%s:%d)\n",
                    expression, file, line);
  if (length > 0) {
    const auto count =
        static_cast<size_t>(length) < text.size() ? static_cast<size_t>(length) : text.size() - 1;
    if (write(STDERR_FILENO, text.data(), count) < 0) {
      // Nothing is left to tell it to.
    }
  }
  std::array<void*, 64> frames{};
  backtrace_symbols_fd(frames.data(), backtrace(frames.data(), frames.size()), STDERR_FILENO);
  std::abort();
}

}  // namespace ringmta
