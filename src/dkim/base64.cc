// SPDX-License-Identifier: GPL-3.0-or-later
#include "base64.h"

#include "ringmta/base/base64.h"

namespace ringmta::dkim {

void append_base64(std::span<const std::byte> octets, std::string& into) {
  ringmta::append_base64(octets, into);
}

std::optional<std::vector<std::byte>> base64_octets(std::string_view text) {
  std::string packed, octets;
  for (const char c : text) {
    if (c != ' ' && c != '\t' && c != '\r' && c != '\n') packed.push_back(c);
  }
  if (packed.empty() || !append_base64_decoded(packed, octets)) return std::nullopt;
  const Bytes bytes = as_bytes(octets);
  return std::vector<std::byte>(bytes.begin(), bytes.end());
}

}  // namespace ringmta::dkim
