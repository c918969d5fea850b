// SPDX-License-Identifier: GPL-3.0-or-later
// The version of the whole, as meson.build has it (a test compares the two).
#pragma once

#include <string_view>

namespace ringmta {

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace ringmta
