// SPDX-License-Identifier: GPL-3.0-or-later
// Replies of SMTP servers (RFC 5321 4.2, RFC 3463): the incremental parser.
//
// The insight: only line ends need to be searched (memchr); between them a piece is either the code
// and separator, at most four octets, or text, which is copied once. So a reply in one segment and
// one that comes octet by octet take the same path, and a warm parser allocates nothing.
#include "ringmta/smtp/reply.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "ringmta/base/octets.h"

namespace ringmta::smtp {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// A code and what may stand behind it, all four octets of them.
bool begins_well(std::string_view line) {
  return line[0] >= '2' && line[0] <= '5' && is_digit(line[1]) && is_digit(line[2]) &&
         (line[3] == ' ' || line[3] == '-');
}

// One to three digits without a superfluous leading zero (RFC 3463 2); 0 octets when there are
// none.
size_t parse_number(std::string_view text, uint16_t& value) {
  size_t length = 0;
  value = 0;
  while (length < text.size() && length < 4 && is_digit(text[length])) {
    value = static_cast<uint16_t>(value * 10 + (text[length] - '0'));
    ++length;
  }
  return length > 3 ? 0 : length;
}

// As parse_enhanced_status(); the number of octets up to the text behind it.
size_t scan_enhanced_status(std::string_view text, EnhancedStatus& status) {
  if (text.size() < 5 || text[1] != '.') return 0;
  if (text[0] != '2' && text[0] != '4' && text[0] != '5') return 0;
  EnhancedStatus found{static_cast<uint8_t>(text[0] - '0'), 0, 0};
  size_t at = 2;
  const size_t subject = parse_number(text.substr(at), found.subject);
  at += subject;
  if (subject == 0 || at >= text.size() || text[at] != '.') return 0;
  ++at;
  const size_t detail = parse_number(text.substr(at), found.detail);
  at += detail;
  if (detail == 0) return 0;
  if (at < text.size() && text[at] != ' ' && text[at] != '\n') return 0;
  status = found;
  return at < text.size() && text[at] == ' ' ? at + 1 : at;
}

void append_number(std::string& into, uint32_t value) {
  char digits[12];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  into.append(digits, end);
}

void append_status(std::string& into, EnhancedStatus status) {
  append_number(into, status.klass);
  into += '.';
  append_number(into, status.subject);
  into += '.';
  append_number(into, status.detail);
}

}  // namespace

std::string EnhancedStatus::text() const {
  std::string result;
  if (klass != 0) append_status(result, *this);
  return result;
}

EnhancedStatus parse_enhanced_status(std::string_view text) {
  EnhancedStatus status{};
  scan_enhanced_status(text, status);
  return status;
}

std::string Reply::line() const {
  std::string result;
  result.reserve(text.size() + 16);
  if (code != 0) append_number(result, code);
  if (status) {
    if (!result.empty()) result += ' ';
    append_status(result, status);
  }
  if (!text.empty()) {
    if (!result.empty()) result += ' ';
    const size_t begin = result.size();
    result += text;
    std::replace(result.begin() + static_cast<std::ptrdiff_t>(begin), result.end(), '\n', ' ');
  }
  while (!result.empty() && result.back() == ' ') result.pop_back();
  return result;
}

void ReplyParser::restart() {
  reply_.code = 0;
  reply_.status = {};
  reply_.text.clear();
  lines_ = columns_ = line_begin_ = 0;
  line_code_ = 0;
  last_line_ = true;
  carriage_return_ = finished_ = false;
}

void ReplyParser::keep(std::string_view text) {
  std::string& kept = reply_.text;
  if (kept.size() >= kTextMax) return;
  text = text.substr(0, kTextMax - kept.size());
  const size_t begin = kept.size();
  kept.append(text);
  if (!has_control(text)) return;
  for (size_t i = begin; i < kept.size(); ++i) {
    const auto octet = static_cast<unsigned char>(kept[i]);
    if (octet < 0x20 || octet == 0x7F) kept[i] = octet == '\t' ? ' ' : '?';
  }
}

bool ReplyParser::take(std::string_view piece) {
  if (piece.empty()) return true;
  if (carriage_return_) {  // it did not end the line
    carriage_return_ = false;
    ++columns_;
    if (columns_ <= 4) {
      problem_ = columns_ == 4 ? "a reply code is not followed by a space"
                               : "a reply line does not begin with a code";
      return false;
    }
    keep("\r");
  }
  if (piece.back() == '\r') {
    carriage_return_ = true;
    piece.remove_suffix(1);
  }
  if (columns_ + piece.size() > kLineMax) {
    problem_ = "a reply line is too long";
    return false;
  }
  if (columns_ == 0 && piece.size() >= 4 && begins_well(piece)) {
    line_code_ =
        static_cast<uint16_t>((piece[0] - '0') * 100 + (piece[1] - '0') * 10 + (piece[2] - '0'));
    last_line_ = piece[3] == ' ';
    columns_ = 4;
    piece.remove_prefix(4);
  }
  // Octet by octet: a line that was cut within its first four, or that is not one of a reply.
  while (columns_ < 4 && !piece.empty()) {
    const char c = piece.front();
    piece.remove_prefix(1);
    if (columns_ < 3) {
      if (!is_digit(c) || (columns_ == 0 && (c < '2' || c > '5'))) {
        problem_ = "a reply line does not begin with a code";
        return false;
      }
      line_code_ = static_cast<uint16_t>((columns_ == 0 ? 0 : line_code_ * 10) + (c - '0'));
    } else {
      if (c != ' ' && c != '-') {
        problem_ = "a reply code is not followed by a space";
        return false;
      }
      last_line_ = c == ' ';
    }
    ++columns_;
  }
  columns_ += static_cast<uint32_t>(piece.size());
  keep(piece);
  return true;
}

bool ReplyParser::end_line() {
  if (columns_ < 3) {
    problem_ = "a reply line does not begin with a code";
    return false;
  }
  if (columns_ == 3) last_line_ = true;
  if (lines_ == 0) {
    reply_.code = line_code_;
  } else if (line_code_ != reply_.code) {
    problem_ = "the lines of one reply have different codes";
    return false;
  }
  if (++lines_ > kLinesMax) {
    problem_ = "a reply has too many lines";
    return false;
  }
  if (line_begin_ < reply_.text.size()) {
    EnhancedStatus status{};
    const size_t length =
        scan_enhanced_status(std::string_view(reply_.text).substr(line_begin_), status);
    if (length > 0 && status.klass == reply_.code / 100 &&
        (!reply_.status || reply_.status == status)) {
      reply_.status = status;
      reply_.text.erase(line_begin_, length);
    }
  }
  columns_ = 0;
  carriage_return_ = false;
  if (!last_line_ && reply_.text.size() < kTextMax) reply_.text += '\n';
  line_begin_ = static_cast<uint32_t>(reply_.text.size());
  return true;
}

ReplyParser::Step ReplyParser::step(Bytes input) {
  if (finished_) restart();
  const std::string_view all = as_text(input);
  size_t at = 0;
  while (at < all.size()) {
    const void* found = std::memchr(all.data() + at, '\n', all.size() - at);
    const size_t end = found == nullptr
                           ? all.size()
                           : static_cast<size_t>(static_cast<const char*>(found) - all.data());
    if (!take(all.substr(at, end - at))) {
      finished_ = true;
      return {end, State::malformed};
    }
    at = end;
    if (found == nullptr) break;
    ++at;
    if (!end_line()) {
      finished_ = true;
      return {at, State::malformed};
    }
    if (last_line_) {
      finished_ = true;
      return {at, State::complete};
    }
  }
  return {at, State::more};
}

}  // namespace ringmta::smtp
