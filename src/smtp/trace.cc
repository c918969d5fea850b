// SPDX-License-Identifier: GPL-3.0-or-later
// Trace lines. Folded where RFC 5322 asks for it (78 octets wished, 998 commanded): what a client
// can make long is cut to the limits of RFC 5321 4.5.3.1, so no line here ever passes 998.
#include "ringmta/smtp/trace.h"

#include <algorithm>

#include "ringmta/base/octets.h"

namespace ringmta::smtp {
namespace {

constexpr size_t kNameMax = 255;  // octets of a name in the Received line
constexpr size_t kPathOctetsMax = 512;

void two_digits(char* at, uint32_t value) {
  at[0] = static_cast<char>('0' + value / 10);
  at[1] = static_cast<char>('0' + value % 10);
}

struct CivilDate {
  int32_t year = 0;
  uint32_t month = 0, day = 0;
};

// Days since 1970-01-01 to a date of the Gregorian calendar, which repeats every 146,097 days;
// years begin with March, so that the leap day is the last.
CivilDate civil_date(int64_t days) {
  days += 719'468;  // since 0000-03-01
  const int64_t era = (days >= 0 ? days : days - 146'096) / 146'097;
  const auto day_of_era = static_cast<uint32_t>(days - era * 146'097);
  const uint32_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const uint32_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const uint32_t month = (5 * day_of_year + 2) / 153;  // 0: March
  CivilDate date;
  date.day = day_of_year - (153 * month + 2) / 5 + 1;
  date.month = month < 10 ? month + 3 : month - 9;
  date.year = static_cast<int32_t>(era * 400 + year_of_era) + (date.month <= 2 ? 1 : 0);
  return date;
}

// What may stand in a Received line as a name or literal: no blanks, comments, quotes, controls.
constexpr std::array<bool, 256> make_name_octets() {
  std::array<bool, 256> allowed{};
  constexpr std::string_view kAllowed =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.-_:[]";
  for (const char c : kAllowed) allowed[static_cast<unsigned char>(c)] = true;
  return allowed;
}
constexpr auto kNameOctets = make_name_octets();

// Anything else than kNameOctets has.
Octets16 not_name(Octets16 text) {
  const Octets16 lower = text | 0x20;
  const Octets16 letter = (lower >= 'a') & (lower <= 'z');
  const Octets16 digit_or_colon = (text >= '0') & (text <= ':');
  const Octets16 mark =
      (text == '.') | (text == '-') | (text == '_') | (text == '[') | (text == ']');
  return ~(letter | digit_or_colon | mark);
}

// `odd`: whether some octet may not be `allowed`.
template <typename Odd, typename Allowed>
void append_filtered(std::string& into, std::string_view text, Odd odd, Allowed allowed) {
  const size_t begin = into.size();
  into += text;
  if (!any_octet(text, odd)) return;
  for (size_t i = begin; i < into.size(); ++i) {
    if (!allowed(static_cast<unsigned char>(into[i]))) into[i] = '?';
  }
}

void append_name(std::string& into, std::string_view name) {
  if (name.empty()) name = "unknown";
  append_filtered(into, name.substr(0, kNameMax), not_name,
                  [](unsigned char octet) { return kNameOctets[octet]; });
}

// A mailbox the grammar has passed: it may hold blanks and UTF-8, but never a control.
void append_path(std::string& into, std::string_view address) {
  append_filtered(into, address.substr(0, kPathOctetsMax), octets::control,
                  [](unsigned char octet) { return octet >= 0x20 && octet != 0x7F; });
}

}  // namespace

std::string_view DateCache::text(WallTime now) {
  const int64_t second = (now.ms >= 0 ? now.ms : now.ms - 999) / 1000;
  if (second != second_) {
    static constexpr char kDays[] = "ThuFriSatSunMonTueWed";
    static constexpr char kMonths[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const int64_t day = (second >= 0 ? second : second - 86'399) / 86'400;
    const auto of_day = static_cast<uint32_t>(second - day * 86'400);
    const CivilDate date = civil_date(day);
    const auto year = static_cast<uint32_t>(std::clamp(date.year, 0, 9999));
    char* at = text_.data();
    std::copy_n("Thu, 01 Jan 1970 00:00:00 +0000", kLength, at);
    std::copy_n(kDays + 3 * ((day % 7 + 7) % 7), 3, at);
    two_digits(at + 5, date.day);
    std::copy_n(kMonths + 3 * (date.month - 1), 3, at + 8);
    two_digits(at + 12, year / 100);
    two_digits(at + 14, year % 100);
    two_digits(at + 17, of_day / 3600);
    two_digits(at + 20, of_day / 60 % 60);
    two_digits(at + 23, of_day % 60);
    second_ = second;
  }
  return {text_.data(), kLength};
}

std::string_view protocol_name(const TraceFacts& facts) {
  static constexpr std::string_view kEsmtp[] = {"ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA"};
  static constexpr std::string_view kUtf8[] = {"UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA"};
  const size_t kind = (facts.tls ? 1 : 0) + (facts.authenticated ? 2 : 0);
  if (facts.utf8) return kUtf8[kind];
  return facts.esmtp ? kEsmtp[kind] : "SMTP";
}

void append_trace(std::string& into, const TraceFacts& facts, DateCache& dates) {
  const std::string_view date = dates.text(facts.now);
  into += "Received: from ";
  append_name(into, facts.helo);
  into += " ([";
  append_name(into, facts.client_literal);
  into += "])\r\n\tby ";
  append_name(into, facts.hostname);
  into += " with ";
  into += protocol_name(facts);
  into += " id ";
  append_name(into, facts.id);
  if (!facts.for_recipient.empty()) {
    into += "\r\n\tfor <";
    append_path(into, facts.for_recipient);
    into += '>';
  }
  if (!facts.tls_cipher.empty()) {
    into += "\r\n\ttls ";
    append_name(into, facts.tls_cipher);
    into += " (";
    append_name(into, facts.tls_version);
    into += ')';
  }
  into += ";\r\n\t";
  into += date;
  into += "\r\n";
  if (facts.add_date) {
    into += "Date: ";
    into += date;
    into += "\r\n";
  }
  if (facts.add_message_id) {
    into += "Message-ID: <";
    append_name(into, facts.id);
    into += '@';
    append_name(into, facts.hostname);
    into += ">\r\n";
  }
}

}  // namespace ringmta::smtp
