// SPDX-License-Identifier: GPL-3.0-or-later
// The digest by which the sink proves that a message came through the relay byte for byte.
//
// XXH3-128 (xxHash 0.8): 128 bits make an unnoticed change impossible in practice, and it costs 0.1
// us for a 1 KB message where SHA-256 with SHA-NI costs 0.7 us. Nobody attacks the test, so nothing
// cryptographic is needed.
//
// What is covered: a marked message begins with the lines X-Load-Id, X-Load-Recipients and
// X-Load-Digest (in this order, anything that relays put in front of them excepted), and the digest
// is over everything from the X-Load-Id line to the end of the message, without the X-Load-Digest
// line itself, in wire form without dot-stuffing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ringmta::tools {

inline constexpr std::string_view kIdHeader = "X-Load-Id: ";  // <run>-<index>
inline constexpr std::string_view kRecipientsHeader =
    "X-Load-Recipients: ";  // of this message, in all
inline constexpr std::string_view kDigestHeader = "X-Load-Digest: xxh3=";  // 32 hexadecimal digits
inline constexpr size_t kDigestTextLength = 32;
inline constexpr size_t kRunLengthMax = 32;

struct DigestValue {
  uint64_t low = 0;
  uint64_t high = 0;
  bool operator==(const DigestValue&) const = default;
};

using DigestText = std::array<char, kDigestTextLength>;
DigestText to_text(DigestValue value);
// False when `text` is not 32 lower-case hexadecimal digits.
bool parse_digest(std::string_view text, DigestValue& value);

class Digest final {
 public:
  Digest() { reset(); }
  void reset();
  void update(std::string_view data);
  DigestValue value() const;

 private:
  alignas(64) std::byte state_[576];
};

// A 64-bit hash for keys of tables (recipients, runs); `seed` chains calls.
uint64_t hash_text(std::string_view text, uint64_t seed = 0);

}  // namespace ringmta::tools
