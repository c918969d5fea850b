// SPDX-License-Identifier: GPL-3.0-or-later
// One pass over the text for the wire form; encoded words cut between characters, never within one.
#include "message.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>

namespace ringmta::cli {
namespace {

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool is_eight_bit(char c) { return static_cast<unsigned char>(c) > 127; }

std::string base64(std::string_view octets) {
  std::string text;
  for (size_t i = 0; i < octets.size(); i += 3) {
    const size_t count = std::min<size_t>(3, octets.size() - i);
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < count ? static_cast<unsigned char>(octets[i + k]) : 0U);
    }
    for (size_t k = 0; k < 4; ++k) {
      text += k <= count ? kBase64[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  return text;
}

// RFC 5322 3.3, in UTC.
std::string date_text(std::time_t when) {
  std::tm parts{};
  gmtime_r(&when, &parts);
  constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  return fmt::format("{}, {} {} {} {:02}:{:02}:{:02} +0000", kDays[parts.tm_wday], parts.tm_mday,
                     kMonths[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour, parts.tm_min,
                     parts.tm_sec);
}

}  // namespace

WireForm wire_form(std::string_view message) {
  WireForm wire;
  wire.octets.reserve(message.size() + message.size() / 32 + 16);
  wire.has_eight_bit = std::any_of(message.begin(), message.end(), is_eight_bit);
  while (!message.empty()) {
    const size_t end = message.find('\n');
    std::string_view line = message.substr(0, end);
    message.remove_prefix(end == std::string_view::npos ? message.size() : end + 1);
    if (end != std::string_view::npos && line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with('.')) {
      wire.octets += '.';
      wire.has_dot_stuffing = true;
    }
    wire.octets += line;
    wire.octets += "\r\n";
  }
  wire.octets += ".\r\n";
  return wire;
}

std::string encoded_subject(std::string_view subject) {
  if (std::none_of(subject.begin(), subject.end(), is_eight_bit)) return std::string(subject);
  constexpr size_t kOctetsPerWord = 45;  // 60 characters of base64, 72 with what is around them
  std::string text;
  while (!subject.empty()) {
    size_t length = std::min(kOctetsPerWord, subject.size());
    while (length < subject.size() && length > 1 &&
           (static_cast<unsigned char>(subject[length]) & 0xC0) == 0x80) {
      --length;
    }
    if (!text.empty()) text += "\r\n ";
    text += "=?utf-8?B?" + base64(subject.substr(0, length)) + "?=";
    subject.remove_prefix(length);
  }
  return text;
}

std::string header_text(const Header& header, bool eight_bit) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  std::string recipients;
  for (const std::string& address : header.to) {
    if (!recipients.empty()) recipients += ",\r\n ";
    recipients += fmt::format("<{}>", address);
  }
  return fmt::format(
      "From: <{}>\r\nTo: {}\r\nSubject: {}\r\nDate: {}\r\nMessage-ID: <{:x}.{}@{}>\r\n"
      "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
      "Content-Transfer-Encoding: {}\r\n\r\n",
      header.from.empty() ? "MAILER-DAEMON@" + header.host : header.from, recipients,
      encoded_subject(header.subject),
      date_text(static_cast<std::time_t>(nanoseconds / 1'000'000'000)), nanoseconds, ::getpid(),
      header.host, eight_bit ? "8bit" : "7bit");
}

}  // namespace ringmta::cli
