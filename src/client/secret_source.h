// SPDX-License-Identifier: GPL-3.0-or-later
// Fetches one secret from a file or a command. May take long; for the helper thread.
#pragma once

#include <atomic>
#include <string>
#include <string_view>

#include "ringmta/base/result.h"
#include "ringmta/client/credentials.h"

namespace ringmta::client {

inline constexpr size_t kSecretMax = 16'384;              // octets; tokens of 4 KB exist
inline constexpr Milliseconds kCommandMax = seconds(30);  // then it is killed

struct FetchedSecret {
  std::string text;
  Milliseconds lifetime{0};  // 0: it does not say
};

Result<FetchedSecret> fetch_secret(const AuthOptions& source, const std::atomic<bool>& stop);

// The first line, or the "access_token" of a JSON object and its "expires_in".
Result<FetchedSecret> read_secret(std::string_view text, bool is_token);

}  // namespace ringmta::client
