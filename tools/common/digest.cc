// SPDX-License-Identifier: GPL-3.0-or-later
// XXH3 compiled into this file alone (XXH_INLINE_ALL), so that nothing is linked and no other file
// sees its macros.
#include "tools/common/digest.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <new>

namespace ringmta::tools {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";

void write_hex(uint64_t value, char* to) {
  for (size_t i = 16; i-- > 0;) {
    to[i] = kHex[value & 15];
    value >>= 4;
  }
}

bool read_hex(std::string_view text, uint64_t& value) {
  value = 0;
  for (const char c : text) {
    const size_t digit = kHex.find(c);
    if (digit == std::string_view::npos) return false;
    value = value << 4 | digit;
  }
  return true;
}

XXH3_state_t* state(std::byte* storage) {
  return std::launder(reinterpret_cast<XXH3_state_t*>(storage));
}
const XXH3_state_t* state(const std::byte* storage) {
  return std::launder(reinterpret_cast<const XXH3_state_t*>(storage));
}

}  // namespace

DigestText to_text(DigestValue value) {
  DigestText text{};
  write_hex(value.high, text.data());
  write_hex(value.low, text.data() + 16);
  return text;
}

bool parse_digest(std::string_view text, DigestValue& value) {
  return text.size() == kDigestTextLength && read_hex(text.substr(0, 16), value.high) &&
         read_hex(text.substr(16), value.low);
}

void Digest::reset() {
  static_assert(sizeof(XXH3_state_t) <= sizeof(state_) && alignof(XXH3_state_t) <= 64);
  XXH3_state_t* fresh = new (state_) XXH3_state_t;
  XXH3_INITSTATE(fresh);
  XXH3_128bits_reset(fresh);
}

void Digest::update(std::string_view data) {
  XXH3_128bits_update(state(state_), data.data(), data.size());
}

DigestValue Digest::value() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state(state_));
  return {hash.low64, hash.high64};
}

uint64_t hash_text(std::string_view text, uint64_t seed) {
  return XXH3_64bits_withSeed(text.data(), text.size(), seed);
}

}  // namespace ringmta::tools
