// SPDX-License-Identifier: GPL-3.0-or-later
// Files that a configuration names, and the configuration itself.
#pragma once

#include <cstdint>
#include <string>

#include "ringmta/base/hidden_memory.h"
#include "ringmta/base/result.h"

namespace ringmta::config {

// The whole file; the error names it. One of more than `octets_max` is an error.
Result<std::string> read_file(const std::string& path, uint64_t octets_max = UINT64_MAX);

// Likewise a file that holds a secret: no copy of it stays where a core dump would find it.
Result<SecretText> read_secret_file(const std::string& path, size_t octets_max);

// Every user of this machine may do something with it.
bool is_open_to_all(const std::string& path);

}  // namespace ringmta::config
