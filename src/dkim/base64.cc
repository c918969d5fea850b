// SPDX-License-Identifier: GPL-3.0-or-later
#include "base64.h"

#include "ringmta/base/base64.h"
#include "ringmta/base/wipe.h"

namespace ringmta::dkim {

void append_base64(std::span<const std::byte> octets, std::string& into) {
  ringmta::append_base64(octets, into);
}

std::optional<std::vector<std::byte>> base64_octets(std::string_view text) {
  std::string packed, octets;
  packed.reserve(text.size());  // it may be a private key: no copies are left behind
  octets.reserve(text.size());
  for (const char c : text) {
    if (c != ' ' && c != '\t' && c != '\r' && c != '\n') packed.push_back(c);
  }
  const bool fine = !packed.empty() && append_base64_decoded(packed, octets);
  const Bytes bytes = as_bytes(octets);
  std::optional<std::vector<std::byte>> decoded;
  if (fine) decoded.emplace(bytes.begin(), bytes.end());
  wipe(packed);
  wipe(octets);
  return decoded;
}

}  // namespace ringmta::dkim
