// SPDX-License-Identifier: GPL-3.0-or-later
// Delivery status notifications: the text of the message that tells a sender what became of a
// recipient (RFC 3461 for when and what, RFC 3464 for the machine-readable part, RFC 6522
// multipart/report, RFC 3462 3 text/rfc822-headers, RFC 6533 for UTF-8 addresses, RFC 3834 for
// automatic answers). Plain structs in, wire form out; whether to send one is the pure function
// dsn_wanted().
//
// The insight: dot-stuffing belongs to lines, and a line of the original is still a line in the
// notification. So the original's wire form is copied as it is: un-stuffing and stuffing again
// would give the same octets.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "ringmta/base/time.h"
#include "ringmta/smtp/envelope.h"
#include "ringmta/smtp/reply.h"

namespace ringmta::queue {

enum class DsnAction : uint8_t { failed, delayed, delivered, relayed, expanded };  // RFC 3464 2.3.3
std::string_view to_text(DsnAction action);

// Is a notification of `action` owed to the sender (RFC 3461 4.1, 5.2)? `notify` as in
// RecipientView. Absent NOTIFY counts as FAILURE,DELAY; nothing is ever told to the null
// reverse-path; `delivered`, `relayed` (the next hop has no DSN) and `expanded` are told only on
// NOTIFY=SUCCESS.
bool dsn_wanted(uint8_t notify, DsnAction action, bool reverse_path_empty);

struct DsnRecipient {
  std::string_view address;             // where it was sent, without <>
  std::string_view original_recipient;  // ORCPT= as received (addr-type ";" xtext); empty: absent
  DsnAction action = DsnAction::failed;
  smtp::EnhancedStatus
      status{};  // klass 0, or one that contradicts the action: a general one is told
  std::string_view remote_mta;  // the peer's host name or literal; empty: nobody answered
  bool kept_back = false;       // `remote_mta` cannot take it, so we did not ask; `reason` says why
  std::string_view diagnostic;  // the peer's reply as Reply::line() gives it; empty: there was none
  bool to_connection = false;   // it was said to us, before the peer had heard of the message
  std::string_view
      reason;  // our own words where the peer said nothing ("no host could be reached ...")
  WallTime last_attempt{};  // 0: none was made
  WallTime retry_until{};   // with `delayed`: when it is given up; 0: not told
};

struct DsnReport {
  std::string_view reporting_mta;  // host name of this relay
  std::string_view from;           // address in From; empty: MAILER-DAEMON@reporting_mta
  std::string_view
      id;  // unique for this notification (letters and digits): Message-ID and boundary
  std::string_view reverse_path;  // whom it goes to; never empty
  std::string_view envelope_id;   // ENVID= as received (xtext); empty: absent
  smtp::DsnReturn dsn_return = smtp::DsnReturn::unspecified;  // unspecified: headers
  bool utf8 = false;                                          // the original was sent with SMTPUTF8
  WallTime now{};
  WallTime arrival{};                        // when this relay accepted the message; 0: not told
  std::span<const DsnRecipient> recipients;  // at least one
  std::span<const std::string_view>
      original;  // its wire form in pieces, closing ".CRLF" included; empty: not at hand
  uint64_t return_size_max =
      65'536;  // octets of the original returned at most; a larger one: headers only
};

struct DsnMessage {
  std::string content;         // wire form: header and body, dot-stuffed, closing ".CRLF"
  bool has_eight_bit = false;  // it needs BODY=8BITMIME: with `utf8` only
  bool has_dot_stuffing = false;
  bool utf8 = false;  // it needs SMTPUTF8 (the address it goes to is not ASCII)
};

// Envelope of the result: null reverse-path, one recipient (`reverse_path`), NOTIFY absent.
DsnMessage build_dsn(const DsnReport& report);

}  // namespace ringmta::queue
