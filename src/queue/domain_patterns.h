// SPDX-License-Identifier: GPL-3.0-or-later
// Which rule speaks for a domain: "example.org" for itself, ".example.org" for all below it, "*"
// for the rest. The most exact wins: the name itself, then the longest suffix, then "*"; of two
// rules with the same pattern the first. A look-up costs one hash per label, and is made once per
// domain that has mail.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

namespace ringmta::queue {

class DomainPatterns final {
 public:
  void add(std::string_view pattern, uint32_t rule);
  // kNone when no pattern matches. `domain` in lower case.
  uint32_t find(std::string_view domain) const;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::unordered_map<std::string, uint32_t, Hash, std::equal_to<>> rules_;
};

// What stands behind the last "@", in the case given; empty when there is none.
std::string_view domain_of(std::string_view address);

}  // namespace ringmta::queue
