// SPDX-License-Identifier: GPL-3.0-or-later
// Domain names, kept the way the wire has them: length octet, label, ..., zero; always in lower
// case.
//
// The insight: in this form a name is compared, hashed, cached and sent without being parsed again,
// and nothing a hostile name contains (dots within labels, NULs, control characters) can change its
// meaning on the way. Text is made only for people, and only hostnames are ever connected to.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "ringmta/base/bytes.h"
#include "ringmta/base/result.h"

namespace ringmta::dns {

class Name final {
 public:
  static constexpr size_t kOctetsMax = 255;  // RFC 1035 2.3.4
  static constexpr size_t kLabelMax = 63;

  Name() = default;  // the root

  // "example.org" or "example.org.": letters, digits, "-" and "_" only.
  static Result<Name> parse(std::string_view text);
  // An uncompressed name; nothing when `wire` is not exactly one.
  static std::optional<Name> from_wire(Bytes wire);

  Bytes wire() const { return {reinterpret_cast<const std::byte*>(octets_.data()), length_}; }
  bool is_root() const { return length_ == 1; }
  bool is_within(const Name& ancestor) const;  // `ancestor` itself counts
  // Only letters, digits, "-" and "_": fit to be connected to and to be shown.
  bool is_hostname() const;
  // Without the final dot ("." for the root); octets that do not belong in a hostname as \DDD.
  std::string text() const;

  bool operator==(const Name& other) const {
    return length_ == other.length_ &&
           std::memcmp(octets_.data(), other.octets_.data(), length_) == 0;
  }
  // Some order, always the same one; not that of an alphabet.
  bool operator<(const Name& other) const {
    if (length_ != other.length_) return length_ < other.length_;
    return std::memcmp(octets_.data(), other.octets_.data(), length_) < 0;
  }

 private:
  uint8_t length_ = 1;
  std::array<uint8_t, kOctetsMax> octets_{};
};

// The domain of a mail address as a name to be asked for: U-labels become A-labels (IDNA 2008,
// non-transitional: RFC 5891, UTS 46). An error says what is wrong with it, for the sender.
Result<Name> mail_domain(std::string_view domain);

// The form in which domains of addresses and of the configuration are compared, so that a spelling
// (bücher.example, fullwidth letters) escapes no rule: that of mail_domain() in small letters. A
// pattern's dot in front stays. What is no domain stays as it is, ASCII letters made small.
void append_domain_key(std::string_view domain, std::string& into);
inline std::string domain_key(std::string_view domain) {
  std::string key;
  append_domain_key(domain, key);
  return key;
}

}  // namespace ringmta::dns
