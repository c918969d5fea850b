// SPDX-License-Identifier: GPL-3.0-or-later
// Addresses and parameters as SMTP writes them: RFC 5321 4.1.2 and 4.1.3 (paths, mailboxes, quoted
// local parts, address literals), RFC 6531 3.3 (UTF-8 in them), RFC 3461 4 and RFC 6533 3 (xtext,
// ENVID, ORCPT).
//
// The insight: a path is read once from left to right, octet by octet through one table of classes,
// and comes out as views into the text; nothing is copied, decoded or normalised. What is accepted
// can stand between < and > of any other SMTP command as it is.
//
// Limits: RFC 5321 4.5.3.1, but for the 64 octets of a local part: those are the least a server
// must take, and return paths that carry the recipient (VERP) are longer. Its path bounds it. UTF-8
// is counted in octets, and has none of Unicode's own controls and line ends (C1, U+2028, U+2029)
// in it. A U-label is checked to contain no ASCII but letters, digits and hyphens; whether IDNA has
// a form of it is for who knows (ServerOptions::domain_exists_in_idna).
#pragma once

#include <cstdint>
#include <string_view>

namespace ringmta::smtp {

inline constexpr size_t kDomainMax = 255;
inline constexpr size_t kPathMax = 256;               // with < and >
inline constexpr size_t kLabelMax = 63;               // of ASCII (RFC 1035 2.3.4)
inline constexpr size_t kEnvelopeIdMax = 100;         // RFC 3461 4.4
inline constexpr size_t kOriginalRecipientMax = 500;  // RFC 3461 4.2
inline constexpr size_t kSubmitterMax = 500;          // RFC 4954 5

enum class AddressFault : uint8_t { none, syntax, too_long };

struct Mailbox {
  std::string_view address;  // local-part@domain; empty: the null path
  std::string_view local_part;
  std::string_view domain;  // a name, or a literal with its brackets; empty: there is none
  bool eight_bit = false;   // has octets above 127, which are UTF-8: needs SMTPUTF8
  AddressFault fault = AddressFault::none;
};

struct Path {
  Mailbox mailbox;
  size_t length = 0;  // octets up to and with ">"; 0: there is no path here at all
};

// A path at the start of `text`: "<>", "<local@domain>", "<@a,@b:local@domain>" (the route is
// accepted and ignored, RFC 5321 C), "<local>" (which only Postmaster may use: domain is empty).
Path parse_path(std::string_view text);

// `text` as a whole is local-part@domain.
Mailbox parse_mailbox(std::string_view text);

// As a whole: dot-separated labels; with `utf8`, U-labels too.
bool is_domain(std::string_view text, bool utf8 = false);
// "[192.0.2.1]" or "[IPv6:2001:db8::1]". Other tags of RFC 5321 4.1.3 have to be registered, and
// none is.
bool is_address_literal(std::string_view text);
// What may follow HELO and EHLO: a domain or a literal; "_" is suffered in names, since there are
// many hosts called so.
bool is_helo_name(std::string_view text);

// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text);

// RFC 3461 4; what is encoded must be printable too, so that nothing can be hidden in it.
bool is_xtext(std::string_view text);
bool is_envelope_id(std::string_view text);
// addr-type ";" xtext; with `utf8` and type "utf-8" octets above 127 as well (RFC 6533 3).
bool is_original_recipient(std::string_view text, bool utf8);

// The value of MAIL's AUTH=: "<>", or a mailbox in xtext (RFC 4954 5).
bool is_submitter(std::string_view text);

// NOTIFY= as bits of Notify; 0: not a valid value.
uint8_t parse_notify(std::string_view text);

// esmtp-param (RFC 5321 4.1.2): KEYWORD [ "=" value ], value without controls, blanks and "=".
struct Parameter {
  std::string_view keyword;
  std::string_view value;
  bool has_value = false;
};
// Takes the next one off `text`, which begins with the SP before it; false: malformed. At the end
// (blanks only) the keyword is empty.
bool next_parameter(std::string_view& text, Parameter& parameter);

// Digits only, at most 20 of them (RFC 1870 4, RFC 3030 2); false: not that. What does not fit is
// UINT64_MAX.
bool parse_size(std::string_view text, uint64_t& value);

}  // namespace ringmta::smtp
