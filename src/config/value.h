// SPDX-License-Identifier: GPL-3.0-or-later
// A value of the file with the line it stands in, free of the TOML library.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace ringmta::config {

struct Value {
  struct Other {};  // a table, a date, or whatever else no key takes
  uint32_t line = 0;
  std::variant<Other, bool, int64_t, double, std::string, std::vector<Value>> what;

  template <typename T>
  const T* as() const {
    return std::get_if<T>(&what);
  }
};

}  // namespace ringmta::config
