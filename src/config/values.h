// SPDX-License-Identifier: GPL-3.0-or-later
// Reading one value by its row in the table, and writing it back.
#pragma once

#include <string>

#include "key.h"
#include "problems.h"

namespace ringmta::config {

// What is wrong goes to `problems`; then the setting keeps what it was.
void read_value(const Key& key, const Value& value, Settings& settings, Problems& problems);

// The value in force, as TOML.
std::string show_value(const Key& key, const Settings& settings);

// What may stand there, in words: "duration, 1s to 1d".
std::string form_of(const Key& key);

// How it is written: "listen = [\"127.0.0.1:25\"]".
std::string example_of(const Key& key);

// A TOML string.
std::string quoted(std::string_view text);

}  // namespace ringmta::config
