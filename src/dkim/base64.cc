// SPDX-License-Identifier: GPL-3.0-or-later
#include "base64.h"

#include <wolfssl/wolfcrypt/coding.h>

#include "ringmta/base/assert.h"

namespace ringmta::dkim {

void append_base64(std::span<const std::byte> octets, std::string& into) {
  const size_t begin = into.size();
  word32 size = static_cast<word32>((octets.size() + 2) / 3 * 4 + 1);
  into.resize(begin + size);
  RINGMTA_ASSERT(Base64_Encode_NoNl(reinterpret_cast<const byte*>(octets.data()),
                                    static_cast<word32>(octets.size()),
                                    reinterpret_cast<byte*>(into.data() + begin), &size) == 0);
  into.resize(begin + size);
}

std::optional<std::vector<std::byte>> base64_octets(std::string_view text) {
  std::string packed;
  for (const char c : text) {
    if (c != ' ' && c != '\t' && c != '\r' && c != '\n') packed.push_back(c);
  }
  if (packed.empty() || packed.size() % 4 != 0) return std::nullopt;
  std::vector<std::byte> octets(packed.size() / 4 * 3);
  word32 size = static_cast<word32>(octets.size());
  if (Base64_Decode(reinterpret_cast<const byte*>(packed.data()),
                    static_cast<word32>(packed.size()), reinterpret_cast<byte*>(octets.data()),
                    &size) != 0) {
    return std::nullopt;
  }
  octets.resize(size);
  return octets;
}

}  // namespace ringmta::dkim
