// SPDX-License-Identifier: GPL-3.0-or-later
// A message as it goes over SMTP, made from a file as it lies on disk.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ringmta::cli {

// Wire form (RFC 5321 2.3.8, 4.5.2): lines end with CRLF, a leading dot is doubled, ".CRLF" closes
// it. A CR that is not part of a line's end is left as it is, for the relay to refuse.
struct WireForm {
  std::string octets;
  bool has_dot_stuffing = false;
  bool has_eight_bit = false;
};
WireForm wire_form(std::string_view message);

struct Header {
  std::string from;  // empty: the null reverse-path; then MAILER-DAEMON stands there
  std::vector<std::string> to;
  std::string subject;
  std::string host;  // for the Message-ID
};
// Header lines for a text in UTF-8, with the empty line behind them.
std::string header_text(const Header& header, bool eight_bit);

// As RFC 2047 wants it where it is not ASCII; folded.
std::string encoded_subject(std::string_view subject);

}  // namespace ringmta::cli
