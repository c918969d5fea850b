// SPDX-License-Identifier: GPL-3.0-or-later
// Reads big-endian numbers and length-prefixed parts off the front of octets (RFC 8446 3). A read
// beyond the end fails, and so does every read after it.
#pragma once

#include <cstdint>

#include "ringmta/base/bytes.h"

namespace ringmta::tls {

class Reader final {
 public:
  explicit Reader(Bytes octets) : rest_(octets) {}

  uint32_t number(size_t octets) {
    uint32_t value = 0;
    for (const std::byte b : take(octets)) value = value << 8 | static_cast<uint32_t>(b);
    return value;
  }
  Bytes take(size_t octets) {
    if (failed_ || octets > rest_.size()) {
      failed_ = true;
      return {};
    }
    const Bytes taken = rest_.first(octets);
    rest_ = rest_.subspan(octets);
    return taken;
  }
  // A part with its length in front, written with `length_octets`.
  Bytes part(size_t length_octets) { return take(number(length_octets)); }

  bool failed() const { return failed_; }
  bool empty() const { return failed_ || rest_.empty(); }
  Bytes rest() const { return failed_ ? Bytes{} : rest_; }

 private:
  Bytes rest_;
  bool failed_ = false;
};

}  // namespace ringmta::tls
