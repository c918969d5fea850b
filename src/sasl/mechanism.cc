// SPDX-License-Identifier: GPL-3.0-or-later
#include "ringmta/sasl/mechanism.h"

#include <array>

#include "ringmta/base/bytes.h"

namespace ringmta::sasl {
namespace {

constexpr std::array<std::string_view, 6> kNames = {
    "PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "XOAUTH2", "OAUTHBEARER"};

}  // namespace

std::string_view name_of(Mechanism mechanism) { return kNames[static_cast<size_t>(mechanism)]; }

std::optional<Mechanism> mechanism_named(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (equals_ignoring_case(name, kNames[i])) return static_cast<Mechanism>(i);
  }
  return std::nullopt;
}

bool lists(std::string_view offered, Mechanism mechanism) {
  while (!offered.empty()) {
    const size_t space = std::min(offered.find(' '), offered.size());
    if (equals_ignoring_case(offered.substr(0, space), name_of(mechanism))) return true;
    offered.remove_prefix(std::min(space + 1, offered.size()));
  }
  return false;
}

}  // namespace ringmta::sasl
