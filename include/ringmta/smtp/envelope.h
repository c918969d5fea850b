// SPDX-License-Identifier: GPL-3.0-or-later
// What SMTP says about a message besides its content (RFC 5321 2.3.1), with the parameters of SIZE
// (RFC 1870), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531) and DSN (RFC 3461). All views; whoever fills
// one keeps the text alive.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace ringmta::smtp {

enum class DsnReturn : uint8_t { unspecified, full, headers };  // RET=

// NOTIFY= as bits; none set: the parameter was absent (then failure is reported, RFC 3461 4.1).
struct Notify {
  static constexpr uint8_t kNever = 1;
  static constexpr uint8_t kSuccess = 2;
  static constexpr uint8_t kFailure = 4;
  static constexpr uint8_t kDelay = 8;
};

struct RecipientView {
  std::string_view address;  // local-part@domain as given, without <>
  std::string_view
      original_recipient;  // ORCPT= as received (xtext, with its addr-type); empty: absent
  uint8_t notify = 0;
};

struct EnvelopeView {
  std::string_view reverse_path;  // without <>; empty: the null reverse-path
  std::string_view envelope_id;   // ENVID= as received (xtext); empty: absent
  DsnReturn dsn_return = DsnReturn::unspecified;
  bool eight_bit = false;  // BODY=8BITMIME was declared
  bool utf8 = false;       // SMTPUTF8 was declared
  std::span<const RecipientView> recipients;
};

}  // namespace ringmta::smtp
