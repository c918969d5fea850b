// SPDX-License-Identifier: GPL-3.0-or-later
// Fetches one secret from a file or a command. May take long; for the helper thread.
#pragma once

#include <atomic>
#include <string>
#include <string_view>

#include "ringmta/base/result.h"
#include "ringmta/client/credentials.h"
#include "ringmta/process/command_runner.h"

namespace ringmta::client {

inline constexpr size_t kSecretMax = 16'384;  // octets; tokens of 4 KB exist

struct FetchedSecret {
  std::string text;
  Milliseconds lifetime{0};  // 0: it does not say
};

// Null: commands are run by the calling process itself.
Result<FetchedSecret> fetch_secret(const AuthOptions& source, const std::atomic<bool>& stop,
                                   process::CommandRunner* runner = nullptr);

// The first line, or the "access_token" of a JSON object and its "expires_in".
Result<FetchedSecret> read_secret(std::string_view text, bool is_token);

}  // namespace ringmta::client
