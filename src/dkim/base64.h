// SPDX-License-Identifier: GPL-3.0-or-later
// Base64 as DKIM writes it: base/base64.h, but folded text is read too.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ringmta::dkim {

void append_base64(std::span<const std::byte> octets, std::string& into);
// White space in `text` is skipped. Nothing when it is not base64.
std::optional<std::vector<std::byte>> base64_octets(std::string_view text);

}  // namespace ringmta::dkim
