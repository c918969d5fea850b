// SPDX-License-Identifier: GPL-3.0-or-later
// What nearly every test includes, parsed once per build: GoogleTest's header alone takes 2.3 s,
// and a hundred files include it. meson.build compiles this to a precompiled header, which no test
// needs in order to be right.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

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
