// SPDX-License-Identifier: GPL-3.0-or-later
// MAIL and RCPT lines (RFC 5321 4.1.1.2 and 4.1.1.3, RFC 1870, 6152, 6531, 3461) and the
// capabilities a peer offers.
//
// The insight: nearly every address consists of octets that can do no harm anywhere; one look at
// 16 of them at a time says so. Only the others (quotes, blanks, brackets) are looked at with the
// grammar in hand.
#include "client_envelope.h"

#include <array>
#include <charconv>

#include "ringmta/base/bytes.h"
#include "ringmta/base/octets.h"

namespace ringmta::smtp {
namespace {

constexpr size_t kAddressMax =
    1024;  // octets; RFC 5321 4.5.3.1.3 allows 256, UTF-8 and odd sites more
constexpr size_t kParameterMax = 1024;  // octets; RFC 3461 allows 100 for ENVID and 500 for ORCPT

constexpr uint8_t kControl = 1, kDelimiter = 2, kEightBit = 4;

constexpr std::array<uint8_t, 256> make_classes() {
  std::array<uint8_t, 256> classes{};
  for (size_t octet = 0; octet < 256; ++octet) {
    if (octet < 0x20 || octet == 0x7F) classes[octet] = kControl;
    if (octet > 0x7F) classes[octet] = kEightBit;
  }
  for (const char c : {' ', '<', '>', '"', '\\'}) classes[static_cast<uint8_t>(c)] = kDelimiter;
  return classes;
}
constexpr auto kClasses = make_classes();

// Octets of any class.
Octets16 special(Octets16 text) {
  return octets::control_or_high(text) | (text == ' ') | (text == '<') | (text == '>') |
         (text == '"') | (text == '\\');
}

uint8_t classes_of(std::string_view text) {
  uint8_t seen = 0;
  for (const char c : text) seen |= kClasses[static_cast<uint8_t>(c)];
  return seen;
}

// Delimiters may stand only in a quoted local part: DQUOTE *(qtext / "\" any) DQUOTE, then "@" or
// the end.
bool quoted_properly(std::string_view address) {
  if (address.front() != '"') return false;
  size_t at = 1;
  while (at < address.size() && address[at] != '"') at += address[at] == '\\' ? 2 : 1;
  if (at >= address.size()) return false;
  const std::string_view rest = address.substr(at + 1);
  if (!rest.empty() && rest.front() != '@') return false;
  return (classes_of(rest) & kDelimiter) == 0;
}

// esmtp-value: no controls, no blank, no "="; octets above 127 only with SMTPUTF8.
bool is_parameter_value(std::string_view value, bool utf8) {
  if (value.empty() || value.size() > kParameterMax) return false;
  for (const char c : value) {
    const auto octet = static_cast<uint8_t>(c);
    if (octet <= 0x20 || octet == 0x7F || octet == '=' || (octet > 0x7F && !utf8)) return false;
  }
  return true;
}

std::string_view next_word(std::string_view& line) {
  while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  const size_t length = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, length);
  line.remove_prefix(length);
  return word;
}

// Digits only; numbers beyond `limit` count as `limit`.
bool parse_decimal(std::string_view text, uint64_t limit, uint64_t& value) {
  if (text.empty() || text.size() > 20) return false;
  uint64_t result = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    const auto digit = static_cast<uint64_t>(c - '0');
    result = result > (UINT64_MAX - digit) / 10 ? UINT64_MAX : result * 10 + digit;
  }
  value = std::min(result, limit);
  return true;
}

// LIMITS "RCPTMAX=100 MAILMAX=20" (RFC 9422 4). Zero or nonsense is as if it were not told.
void parse_limits(std::string_view line, Capabilities& capabilities) {
  while (true) {
    const std::string_view word = next_word(line);
    if (word.empty()) return;
    const size_t equals = word.find('=');
    if (equals == std::string_view::npos) continue;
    uint64_t value = 0;
    if (!parse_decimal(word.substr(equals + 1), UINT32_MAX, value)) continue;
    const std::string_view name = word.substr(0, equals);
    if (equals_ignoring_case(name, "RCPTMAX")) {
      capabilities.recipients_max = static_cast<uint32_t>(value);
    } else if (equals_ignoring_case(name, "MAILMAX")) {
      capabilities.messages_max = static_cast<uint32_t>(value);
    }
  }
}

// As it stood in drafts of RFC 2554; servers still say it beside "AUTH ", some alone.
constexpr std::string_view kOldAuth = "AUTH=";
constexpr size_t kMechanismsMax = 512;  // octets kept

void parse_mechanisms(std::string_view line, Capabilities& capabilities) {
  while (true) {
    const std::string_view word = next_word(line);
    if (word.empty() || capabilities.auth.size() + word.size() >= kMechanismsMax) return;
    if (!capabilities.auth.empty()) capabilities.auth += ' ';
    capabilities.auth += word;
  }
}

void parse_capability(std::string_view line, Capabilities& capabilities) {
  const std::string_view keyword = next_word(line);
  if (equals_ignoring_case(keyword, "PIPELINING")) {
    capabilities.pipelining = true;
  } else if (equals_ignoring_case(keyword, "CHUNKING")) {
    capabilities.chunking = true;
  } else if (equals_ignoring_case(keyword, "8BITMIME")) {
    capabilities.eight_bit = true;
  } else if (equals_ignoring_case(keyword, "SMTPUTF8")) {
    capabilities.smtputf8 = true;
  } else if (equals_ignoring_case(keyword, "DSN")) {
    capabilities.dsn = true;
  } else if (equals_ignoring_case(keyword, "ENHANCEDSTATUSCODES")) {
    capabilities.enhanced_status = true;
  } else if (equals_ignoring_case(keyword, "STARTTLS")) {
    capabilities.starttls = true;
  } else if (equals_ignoring_case(keyword, "SIZE")) {
    capabilities.size = true;
    parse_decimal(next_word(line), UINT64_MAX, capabilities.size_max);
  } else if (equals_ignoring_case(keyword, "LIMITS")) {
    parse_limits(line, capabilities);
  } else if (equals_ignoring_case(keyword, "AUTH")) {
    parse_mechanisms(line, capabilities);
  } else if (keyword.size() > kOldAuth.size() &&
             equals_ignoring_case(keyword.substr(0, kOldAuth.size()), kOldAuth)) {
    parse_mechanisms(keyword.substr(kOldAuth.size()), capabilities);
    parse_mechanisms(line, capabilities);
  }
}

}  // namespace

AddressForm inspect_address(std::string_view address) {
  if (address.size() > kAddressMax) return AddressForm::invalid;
  if (!any_octet(address, special)) return AddressForm::plain;
  const uint8_t seen = classes_of(address);
  if ((seen & kControl) != 0) return AddressForm::invalid;
  if ((seen & kDelimiter) != 0 && !quoted_properly(address)) return AddressForm::invalid;
  return (seen & kEightBit) != 0 ? AddressForm::eight_bit : AddressForm::plain;
}

void append_number(std::string& into, uint64_t value) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  into.append(digits, end);
}

void append_mail(std::string& into, const EnvelopeView& envelope,
                 const MailParameters& parameters) {
  into += "MAIL FROM:<";
  into += envelope.reverse_path;
  into += '>';
  if (parameters.size) {
    into += " SIZE=";
    append_number(into, parameters.size_octets);
  }
  if (parameters.eight_bit) into += " BODY=8BITMIME";
  if (parameters.utf8) into += " SMTPUTF8";
  if (parameters.dsn) {
    if (envelope.dsn_return == DsnReturn::full) into += " RET=FULL";
    if (envelope.dsn_return == DsnReturn::headers) into += " RET=HDRS";
    if (is_parameter_value(envelope.envelope_id, false)) {
      into += " ENVID=";
      into += envelope.envelope_id;
    }
  }
  into += "\r\n";
}

void append_recipient(std::string& into, const RecipientView& recipient, bool dsn, bool utf8) {
  into += "RCPT TO:<";
  into += recipient.address;
  into += '>';
  if (dsn) {
    const uint8_t notify = recipient.notify;
    if ((notify & Notify::kNever) != 0) {
      into += " NOTIFY=NEVER";
    } else if ((notify & (Notify::kSuccess | Notify::kFailure | Notify::kDelay)) != 0) {
      into += " NOTIFY=";
      if ((notify & Notify::kSuccess) != 0) into += "SUCCESS,";
      if ((notify & Notify::kFailure) != 0) into += "FAILURE,";
      if ((notify & Notify::kDelay) != 0) into += "DELAY,";
      into.pop_back();
    }
    if (is_parameter_value(recipient.original_recipient, utf8)) {
      into += " ORCPT=";
      into += recipient.original_recipient;
    }
  }
  into += "\r\n";
}

Capabilities parse_capabilities(std::string_view reply_text) {
  Capabilities capabilities;
  capabilities.esmtp = true;
  if (reply_text.size() >= ReplyParser::kTextMax) {  // cut: half a line says wrong things
    reply_text = reply_text.substr(0, reply_text.rfind('\n'));
  }
  size_t at = reply_text.find('\n');  // the first line is the peer's name and greeting
  while (at != std::string_view::npos) {
    const size_t begin = at + 1;
    at = reply_text.find('\n', begin);
    parse_capability(reply_text.substr(begin, at - begin), capabilities);
  }
  return capabilities;
}

}  // namespace ringmta::smtp
