// SPDX-License-Identifier: GPL-3.0-or-later
// The lines a relay puts in front of a message: Received (RFC 5321 4.4), and Date and Message-ID
// where a submitted message has none (RFC 6409 8.2 and 8.3).
//
// Everything in them that a client chose is either checked by the grammar already or comes through
// a filter here; there is no way to begin another line. Dates are UTC: a relay's log and its trace
// lines then agree everywhere.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "ringmta/base/time.h"

namespace ringmta::smtp {

// "Tue, 01 Jul 2025 12:00:00 +0000" (RFC 5322 3.3), formatted once a second.
class DateCache final {
 public:
  std::string_view text(WallTime now);  // valid until the next call

 private:
  static constexpr size_t kLength = 31;
  int64_t second_ = INT64_MIN;
  std::array<char, kLength> text_{};
};

struct TraceFacts {
  std::string_view helo;            // as the client said it
  std::string_view client_literal;  // RFC 5321 4.1.3 without brackets
  std::string_view hostname;        // ours
  std::string_view id;              // of the message, for Received and a new Message-ID
  std::string_view for_recipient;   // empty: not told (several recipients must not learn of each
                                    // other, RFC 5321 7.2)
  WallTime now{};
  bool esmtp = false;  // EHLO
  bool tls = false;
  std::string_view tls_version{};  // "TLSv1.3"
  std::string_view tls_cipher{};   // by its registered name (RFC 8314 4.3)
  bool authenticated = false;
  bool utf8 = false;  // SMTPUTF8 was declared
  bool add_date = false;
  bool add_message_id = false;
};

// "ESMTPSA" and its kin (RFC 3848; RFC 6531 4.3 for "UTF8SMTP").
std::string_view protocol_name(const TraceFacts& facts);

// Appends the lines, each closed by CRLF.
void append_trace(std::string& into, const TraceFacts& facts, DateCache& dates);

}  // namespace ringmta::smtp
