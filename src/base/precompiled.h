// SPDX-License-Identifier: GPL-3.0-or-later
// What most files include of the standard library and fmt, parsed once per build (meson.build).
// No file needs this in order to be right. Larger libraries are not in here: what CLI11 or
// nlohmann/json define inline would be instantiated anew in each file, also in those that use
// neither, for 1 to 4 s.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>
