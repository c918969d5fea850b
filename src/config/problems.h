// SPDX-License-Identifier: GPL-3.0-or-later
// Mistakes gathered while a file is read, and where each key was seen.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/config/load.h"

namespace ringmta::config {

class Problems final {
 public:
  void error(uint32_t line, std::string key, std::string what) {
    errors_.push_back({line, std::move(key), std::move(what)});
  }
  void warning(uint32_t line, std::string key, std::string what) {
    warnings_.push_back({line, std::move(key), std::move(what)});
  }

  // `element`: which of its likes, for keys in a [[section]]. `fine`: its value could be read.
  void seen(std::string path, uint32_t line, bool fine, size_t element = 0) {
    seen_.push_back({std::move(path), element, line, fine});
  }
  // 0: the file does not say.
  uint32_t line_of(std::string_view path, size_t element = 0) const {
    const Seen* one = find(path, element);
    return one != nullptr ? one->line : 0;
  }
  bool given(std::string_view path, size_t element = 0) const {
    return line_of(path, element) != 0;
  }
  // Given, but its value was refused: what is in the settings is not what was meant.
  bool refused(std::string_view path, size_t element = 0) const {
    const Seen* one = find(path, element);
    return one != nullptr && !one->fine;
  }

  size_t errors() const { return errors_.size(); }
  void hand_over(Loaded& loaded);  // sorted by line

 private:
  struct Seen {
    std::string path;
    size_t element;
    uint32_t line;
    bool fine;
  };
  const Seen* find(std::string_view path, size_t element) const {
    for (const Seen& one : seen_) {
      if (one.path == path && one.element == element) return &one;
    }
    return nullptr;
  }

  std::vector<Problem> errors_;
  std::vector<Problem> warnings_;
  std::vector<Seen> seen_;
};

}  // namespace ringmta::config
