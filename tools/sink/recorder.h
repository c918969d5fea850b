// SPDX-License-Identifier: GPL-3.0-or-later
// Writes what was received, one file a message: first the envelope as header lines that begin with
// X-Sink-, then the message octet by octet. It blocks: recording is for tests of content, not of
// speed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "ringmta/base/result.h"

namespace ringmta::tools {

// `thread`-`sequence`.eml in `directory`; appears whole.
Status record_message(const std::string& directory, uint32_t thread, uint64_t sequence,
                      std::string_view envelope_lines, std::string_view message);

}  // namespace ringmta::tools
