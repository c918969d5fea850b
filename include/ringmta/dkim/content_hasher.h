// SPDX-License-Identifier: GPL-3.0-or-later
// What DKIM needs to know of a message's content, gathered while the content arrives: its header
// section and the hash of its body (RFC 6376 3.4.3, 3.4.4, 3.7).
//
// The insight: the spool keeps content as it goes over the wire, dot-stuffed and closed by ".CRLF",
// and a hash can be taken of just that. The first dot of every line is left out; of the closing
// line nothing but an empty line is left, and empty lines at the end count in neither
// canonicalization. So there is no special case for the end, and no copy of the body: runs that
// canonicalization does not change (nearly all of any mail) go from the caller's memory into the
// hash as they are.
//
// One object per message in arrival; begin() makes it ready for the next and keeps its memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace ringmta::dkim {

using Digest = std::array<std::byte, 32>;  // SHA-256

enum class Canonicalization : uint8_t { simple, relaxed };

// Which body hashes are wanted: those of the keys that may sign.
struct Canonicalizations {
  bool simple = false;
  bool relaxed = true;
  void add(Canonicalization one) { (one == Canonicalization::simple ? simple : relaxed) = true; }
};

class ContentHasher final {
 public:
  // A header section bigger than this is not kept, and its message cannot be signed.
  static constexpr size_t kHeaderSizeMax = 262'144;

  explicit ContentHasher(Canonicalizations bodies);
  ContentHasher(ContentHasher&&) noexcept;
  ContentHasher& operator=(ContentHasher&&) noexcept;
  ~ContentHasher();

  void begin();
  // The wire form, in order, in pieces of any size; lines end with CRLF.
  void append(std::string_view wire);
  // After the last piece. append() may not follow before begin().
  void finish();

  // Header fields with their CRLFs, dots unstuffed, without the empty line; complete once the body
  // has begun. Empty when header_too_big().
  std::string_view header() const;
  bool header_too_big() const;
  // After finish(), for a canonicalization that was asked for.
  const Digest& body_hash(Canonicalization which) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ringmta::dkim
