// SPDX-License-Identifier: GPL-3.0-or-later
// Text for notifications. What a peer or a sender wrote is hostile until cleaned: nothing of it may
// begin a line, a field or a MIME part of ours, so every foreign text passes cleaned() and
// append_folded().
#include "dsn_text.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <iterator>

#include "ringmta/base/bytes.h"

namespace ringmta::queue {
namespace {

constexpr size_t kFoldColumn = 76;
constexpr size_t kWordMax = 900;  // octets; longer words are cut, so that lines stay below 998

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

void append_utf8(std::string& into, uint32_t point) {
  if (point < 0x80) {
    into += static_cast<char>(point);
  } else if (point < 0x800) {
    into += static_cast<char>(0xC0 | (point >> 6));
    into += static_cast<char>(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    into += static_cast<char>(0xE0 | (point >> 12));
    into += static_cast<char>(0x80 | ((point >> 6) & 0x3F));
    into += static_cast<char>(0x80 | (point & 0x3F));
  } else {
    into += static_cast<char>(0xF0 | (point >> 18));
    into += static_cast<char>(0x80 | ((point >> 12) & 0x3F));
    into += static_cast<char>(0x80 | ((point >> 6) & 0x3F));
    into += static_cast<char>(0x80 | (point & 0x3F));
  }
}

// Length of the UTF-8 sequence at the start of `text`, 0 when it is none (RFC 3629 4).
size_t utf8_length(std::string_view text) {
  const auto octet = [&](size_t i) -> uint32_t {
    return i < text.size() ? static_cast<uint8_t>(text[i]) : 0U;
  };
  const auto tail = [&](size_t i) { return (octet(i) & 0xC0) == 0x80; };
  const uint32_t first = octet(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return tail(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const bool overlong = first == 0xE0 && octet(1) < 0xA0;
    const bool surrogate = first == 0xED && octet(1) > 0x9F;
    return !overlong && !surrogate && tail(1) && tail(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const bool overlong = first == 0xF0 && octet(1) < 0x90;
    const bool beyond = first == 0xF4 && octet(1) > 0x8F;
    return !overlong && !beyond && tail(1) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

struct Advice {
  uint16_t subject, detail;
  std::string_view text;
};

// By RFC 3463 3 and the IANA registry of enhanced status codes.
constexpr std::array kAdvice = {
    Advice{1, 1,
           "The address does not exist there. Check it for typing errors; if it is right, it may "
           "have been "
           "closed: ask the recipient in another way, and remove it from your lists."},
    Advice{
        1, 2,
        "The domain after the \"@\" does not exist or takes no mail. Check it for typing errors."},
    Advice{1, 3,
           "The address is not well-formed. Check it for typing errors and stray characters."},
    Advice{1, 6,
           "The mailbox has moved and left no new address. Ask the recipient in another way."},
    Advice{1, 7,
           "Your own address, as the sender, is not well-formed. Check the settings of your mail "
           "program."},
    Advice{1, 8,
           "Your own address, as the sender, could not be verified. Check that its domain exists "
           "and can "
           "receive mail."},
    Advice{1, 10,
           "The domain has declared that it never receives mail. Check the address for typing "
           "errors."},
    Advice{2, 1, "The mailbox is disabled and takes no mail. Ask the recipient in another way."},
    Advice{2, 2,
           "The mailbox is full. Try again in a few days, or ask the recipient in another way."},
    Advice{2, 3,
           "The message is larger than this mailbox accepts. Send it in parts, or share large "
           "files by a link."},
    Advice{3, 1, "The recipient's mail system has no space left. Try again later."},
    Advice{3, 2, "The recipient's mail system is not taking mail at the moment. Try again later."},
    Advice{3, 4,
           "The message is larger than the recipient's mail system accepts. Send it in parts, or "
           "share large "
           "files by a link."},
    Advice{4, 1,
           "No connection to the recipient's mail system could be made. If this persists, its "
           "operator has to be told in another way."},
    Advice{4, 2, "The connection to the recipient's mail system broke down."},
    Advice{4, 3, "A directory that is needed to route the message did not answer."},
    Advice{4, 4,
           "No way to the recipient's mail system could be found. Check the domain for typing "
           "errors."},
    Advice{4, 6,
           "The message went in circles between mail systems. Their operators have to correct the "
           "routing."},
    Advice{4, 7,
           "Delivery was tried for as long as is allowed, without success. If the message still "
           "matters, send "
           "it again."},
    Advice{
        5, 3,
        "The message has more recipients than the mail system accepts at once. Send it to fewer."},
    Advice{
        6, 3,
        "The message has 8-bit text, which the recipient's mail system cannot take. Send it with "
        "quoted-printable or base64 encoding."},
    Advice{6, 7,
           "The message uses an address with characters beyond ASCII, which the recipient's mail "
           "system cannot "
           "take. Use an ASCII address for the sender and the recipient if there is one."},
    Advice{7, 1,
           "The recipient's mail system refused the message by its own rules. Its words above may "
           "say why; if "
           "not, its operator can."},
};

// For what the table does not have, by the subject alone.
constexpr std::array<std::string_view, 8> kAdviceBySubject = {
    "",
    "There is a problem with the address. Check it for typing errors.",
    "There is a problem with the recipient's mailbox. Ask the recipient in another way.",
    "There is a problem with the recipient's mail system.",
    "There is a problem with the network or the routing to the recipient's mail system.",
    "The mail systems did not understand each other. The operators have to look into it.",
    "The recipient's mail system cannot take this kind of content.",
    "The recipient's mail system refused the message for reasons of security or policy. Its words "
    "above may say why; "
    "if not, its operator can.",
};

}  // namespace

std::string joined(std::initializer_list<std::string_view> pieces) {
  std::string result;
  for (const std::string_view piece : pieces) result += piece;
  return result;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string cleaned(std::string_view text, bool utf8) {
  const bool keep_eight_bit = utf8 && is_utf8(text);
  std::string result(text);
  for (char& c : result) {
    const auto octet = static_cast<uint8_t>(c);
    if (octet == '\t' || octet == '\n' || octet == '\r') {
      c = ' ';
    } else if (octet < 0x20 || octet == 0x7F || (octet > 0x7F && !keep_eight_bit)) {
      c = '?';
    }
  }
  return result;
}

void append_folded(std::string& into, std::string_view first, std::string_view next,
                   std::string_view text) {
  size_t line_begin = into.size();
  const auto begin_line = [&](std::string_view prefix) {
    line_begin = into.size();
    into += prefix;
  };
  const auto end_line = [&] {
    if (line_begin < into.size() && into[line_begin] == '.') into.insert(line_begin, 1, '.');
    into += "\r\n";
  };
  begin_line(first);
  bool has_word = false;
  while (true) {
    const size_t spaces = std::min(text.find_first_not_of(' '), text.size());
    text.remove_prefix(spaces);
    if (text.empty()) break;
    std::string_view word = text.substr(0, text.find(' '));
    if (word.size() > kWordMax) {
      size_t cut = kWordMax;
      while (cut > kWordMax - 4 && (static_cast<uint8_t>(word[cut]) & 0xC0) == 0x80) --cut;
      word = word.substr(0, cut);
    }
    text.remove_prefix(word.size());
    if (has_word && into.size() - line_begin + spaces + word.size() > kFoldColumn) {
      end_line();
      begin_line(next);
      has_word = false;
    }
    if (has_word)
      into.append(spaces, ' ');  // as many as there were: a quoted local part may have several
    into += word;
    has_word = true;
  }
  end_line();
}

std::string date_text(WallTime time) {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  using std::chrono::days, std::chrono::milliseconds, std::chrono::seconds;
  const std::chrono::sys_time<milliseconds> point{milliseconds{time.ms}};
  const auto day = std::chrono::floor<days>(point);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{std::chrono::floor<seconds>(point - day)};
  char text[64];
  std::snprintf(text, sizeof text, "%s, %02u %s %04d %02d:%02d:%02d +0000",
                kDays[std::chrono::weekday{day}.c_encoding()], static_cast<unsigned>(date.day()),
                kMonths[static_cast<unsigned>(date.month()) - 1], static_cast<int>(date.year()),
                static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()));
  return text;
}

std::string decode_xtext(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 &&
        hex_digit(text[i + 2]) >= 0) {
      result += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      result += text[i];
    }
  }
  return result;
}

std::string decode_utf8_address(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 3) == "\\x{") {
      uint32_t point = 0;
      size_t at = i + 3;
      while (at < text.size() && at < i + 9 && hex_digit(text[at]) >= 0) {
        point = point * 16 + static_cast<uint32_t>(hex_digit(text[at]));
        ++at;
      }
      const bool closed = at > i + 3 && at < text.size() && text[at] == '}';
      const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
      if (closed && point >= 0x20 && point <= 0x10FFFF && !surrogate) {
        append_utf8(result, point);
        i = at;
        continue;
      }
    }
    result += text[i];
  }
  return result;
}

std::string header_field(std::string_view header, std::string_view name) {
  size_t at = 0;
  while (at < header.size()) {
    size_t end = header.find("\r\n", at);
    if (end == std::string_view::npos) end = header.size();
    const std::string_view line = header.substr(at, end - at);
    if (line.size() > name.size() && line[name.size()] == ':' &&
        equals_ignoring_case(line.substr(0, name.size()), name)) {
      std::string value(line.substr(name.size() + 1));
      while (end + 2 < header.size() && (header[end + 2] == ' ' || header[end + 2] == '\t')) {
        const size_t begin = end + 2;
        end = std::min(header.find("\r\n", begin), header.size());
        value += header.substr(begin, end - begin);
      }
      const size_t first = value.find_first_not_of(" \t");
      if (first == std::string::npos) return {};
      return value.substr(first, value.find_last_not_of(" \t") - first + 1);
    }
    at = end + 2;
  }
  return {};
}

std::string_view advice(smtp::EnhancedStatus status, DsnAction action) {
  if (action != DsnAction::failed && action != DsnAction::delayed) return {};
  for (const Advice& entry : kAdvice) {
    if (entry.subject == status.subject && entry.detail == status.detail) return entry.text;
  }
  return status.subject < kAdviceBySubject.size() ? kAdviceBySubject[status.subject]
                                                  : std::string_view{};
}

}  // namespace ringmta::queue
