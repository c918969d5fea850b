// SPDX-License-Identifier: GPL-3.0-or-later
// What may stand behind the path of MAIL and RCPT: ESMTP parameters and their values.
#include <charconv>
#include <string>

#include "ringmta/base/bytes.h"
#include "ringmta/smtp/envelope.h"
#include "ringmta/smtp/grammar.h"

namespace ringmta::smtp {
namespace {

bool is_letter_or_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// Upper case only (RFC 3461 4); -1: not one.
int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// esmtp-value: anything but controls, blanks and "="; octets above 127 are for RFC 6531 and judged
// by whoever knows the parameter.
bool is_value_octet(char c) {
  const auto octet = static_cast<unsigned char>(c);
  return octet > 0x20 && octet != 0x7F && octet != '=';
}

bool is_xtext_of(std::string_view text, bool high) {
  for (size_t at = 0; at < text.size(); ++at) {
    const auto octet = static_cast<unsigned char>(text[at]);
    if (octet == '+') {
      if (text.size() - at < 3) return false;
      const int upper = hex_digit(text[at + 1]), lower = hex_digit(text[at + 2]);
      if (upper < 0 || lower < 0) return false;
      const int encoded = upper * 16 + lower;
      if (encoded < 0x20 || encoded > 0x7E) return false;
      at += 2;
    } else if (octet > 0x7F) {
      if (!high) return false;
    } else if (!is_value_octet(text[at])) {
      return false;
    }
  }
  return true;
}

}  // namespace

bool is_xtext(std::string_view text) { return is_xtext_of(text, false); }

bool is_envelope_id(std::string_view text) {
  return !text.empty() && text.size() <= kEnvelopeIdMax && is_xtext(text);
}

bool is_original_recipient(std::string_view text, bool utf8) {
  const size_t semicolon = text.find(';');
  if (semicolon == std::string_view::npos || semicolon == 0) return false;
  if (text.size() > kOriginalRecipientMax || semicolon + 1 == text.size()) return false;
  const std::string_view type = text.substr(0, semicolon);
  for (const char c : type) {
    if (!is_letter_or_digit(c) && c != '-') return false;
  }
  const bool high = utf8 && equals_ignoring_case(type, "utf-8");
  return is_xtext_of(text.substr(semicolon + 1), high) && is_utf8(text);
}

bool is_submitter(std::string_view text) {
  if (text == "<>") return true;
  if (text.size() > kSubmitterMax || !is_xtext(text)) return false;
  std::string mailbox;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '+') {
      mailbox += text[at];
      continue;
    }
    mailbox += static_cast<char>(hex_digit(text[at + 1]) * 16 + hex_digit(text[at + 2]));
    at += 2;
  }
  return parse_mailbox(mailbox).fault == AddressFault::none;
}

uint8_t parse_notify(std::string_view text) {
  if (equals_ignoring_case(text, "NEVER")) return Notify::kNever;
  uint8_t bits = 0;
  while (true) {
    const size_t comma = text.find(',');
    const std::string_view word = text.substr(0, comma);
    if (equals_ignoring_case(word, "SUCCESS")) {
      bits |= Notify::kSuccess;
    } else if (equals_ignoring_case(word, "FAILURE")) {
      bits |= Notify::kFailure;
    } else if (equals_ignoring_case(word, "DELAY")) {
      bits |= Notify::kDelay;
    } else {
      return 0;
    }
    if (comma == std::string_view::npos) return bits;
    text.remove_prefix(comma + 1);
  }
}

bool next_parameter(std::string_view& text, Parameter& parameter) {
  parameter = {};
  if (text.empty()) return true;
  if (text.front() != ' ') return false;
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  if (text.empty()) return true;
  size_t length = 0;
  while (length < text.size() && (is_letter_or_digit(text[length]) || text[length] == '-'))
    ++length;
  if (length == 0 || text.front() == '-') return false;
  parameter.keyword = text.substr(0, length);
  text.remove_prefix(length);
  if (text.empty() || text.front() == ' ') return true;
  if (text.front() != '=') return false;
  text.remove_prefix(1);
  length = 0;
  while (length < text.size() && is_value_octet(text[length])) ++length;
  if (length == 0) return false;
  parameter.value = text.substr(0, length);
  parameter.has_value = true;
  text.remove_prefix(length);
  return text.empty() || text.front() == ' ';
}

bool parse_size(std::string_view text, uint64_t& value) {
  if (text.empty() || text.size() > 20) return false;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) value = UINT64_MAX;
  return true;
}

}  // namespace ringmta::smtp
