// SPDX-License-Identifier: GPL-3.0-or-later
// What the relay says of itself (http/metrics.h to_json), as tables.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace ringmta::cli {

// `before`: an earlier answer of the same relay, for rates; null: none, and no rates are shown.
std::string status_text(const nlohmann::json& now, const nlohmann::json* before);

// For machines: gives each shard its "rates", per second between the two.
void add_rates(nlohmann::json& now, const nlohmann::json& before);

}  // namespace ringmta::cli
