// SPDX-License-Identifier: GPL-3.0-or-later
// What the operator reads on stderr or in the journal. Never on a message's path: a message's fate
// is an event (events/), not a log line. Secrets never come here.
#pragma once

#include <fmt/core.h>

#include <string_view>
#include <utility>

namespace ringmta {

enum class LogLevel : uint8_t { debug, info, warning, error, silent };

void set_log_level(LogLevel level);
bool log_enabled(LogLevel level);
void log_line(LogLevel level, std::string_view text);  // thread-safe

template <typename... Arguments>
void log(LogLevel level, fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  if (log_enabled(level))
    log_line(level, fmt::format(format, std::forward<Arguments>(arguments)...));
}

}  // namespace ringmta
