// SPDX-License-Identifier: GPL-3.0-or-later
// Which known word a mistyped one was meant to be.
#pragma once

#include <span>
#include <string_view>

namespace ringmta::config {

// The closest of `known`, when it is close enough to have been meant; empty otherwise.
std::string_view closest(std::string_view word, std::span<const std::string_view> known);

}  // namespace ringmta::config
