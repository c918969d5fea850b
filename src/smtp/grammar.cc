// SPDX-License-Identifier: GPL-3.0-or-later
// Paths and mailboxes, octet by octet. Parameters are in parameters.cc.
#include "ringmta/smtp/grammar.h"

#include <arpa/inet.h>

#include <array>
#include <cstring>

#include "ringmta/base/bytes.h"

namespace ringmta::smtp {
namespace {

constexpr uint8_t kAtom = 1;       // atext (RFC 5322 3.2.3)
constexpr uint8_t kLabel = 2;      // letters, digits, "-"
constexpr uint8_t kQuoted = 4;     // qtextSMTP
constexpr uint8_t kPrintable = 8;  // 32 to 126: behind a backslash
constexpr uint8_t kHigh = 16;      // above 127

constexpr std::array<uint8_t, 256> make_classes() {
  std::array<uint8_t, 256> classes{};
  for (unsigned octet = 32; octet < 127; ++octet) {
    classes[octet] = kPrintable;
    if (octet != '"' && octet != '\\') classes[octet] |= kQuoted;
    const bool digit = octet >= '0' && octet <= '9';
    const bool letter = (octet >= 'A' && octet <= 'Z') || (octet >= 'a' && octet <= 'z');
    if (digit || letter || octet == '-') classes[octet] |= kLabel;
    if (digit || letter) classes[octet] |= kAtom;
  }
  for (const char c : {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '/', '=', '?', '^', '_', '`',
                       '{', '|', '}', '~'}) {
    classes[static_cast<unsigned char>(c)] |= kAtom;
  }
  for (unsigned octet = 128; octet < 256; ++octet) classes[octet] = kHigh;
  return classes;
}
constexpr auto kClasses = make_classes();

uint8_t class_of(char c) { return kClasses[static_cast<unsigned char>(c)]; }

// A reader of one text: every function takes what it is named after, or says false.
struct Reader {
  std::string_view text;
  size_t at = 0;
  uint8_t seen = 0;  // classes of all octets taken

  bool ended() const { return at == text.size(); }
  bool next_is(char c) const { return at < text.size() && text[at] == c; }
  bool take(char c) {
    if (!next_is(c)) return false;
    ++at;
    return true;
  }
  void take_all(uint8_t classes) {
    while (at < text.size()) {
      const uint8_t found = class_of(text[at]);
      if ((found & classes) == 0) return;
      seen |= found;
      ++at;
    }
  }

  bool dot_string() {
    do {
      const size_t begin = at;
      take_all(kAtom | kHigh);
      if (at == begin) return false;
    } while (take('.'));
    return true;
  }

  bool quoted_string() {
    if (!take('"')) return false;
    while (true) {
      take_all(kQuoted | kHigh);
      if (take('"')) return true;
      if (!take('\\') || ended() || (class_of(text[at]) & kPrintable) == 0) return false;
      ++at;
    }
  }

  bool local_part() { return next_is('"') ? quoted_string() : dot_string(); }

  // Labels; those with octets above 127 may be longer than 63 of them (their A-form counts).
  bool domain() {
    do {
      const size_t begin = at;
      const uint8_t before = seen;
      seen = 0;
      take_all(kLabel | kHigh);
      const std::string_view label = text.substr(begin, at - begin);
      if (label.empty() || label.front() == '-' || label.back() == '-') return false;
      if ((seen & kHigh) == 0 && label.size() > kLabelMax) return false;
      seen |= before;
    } while (take('.'));
    return true;
  }

  bool literal() {
    const size_t end = text.find(']', at);
    if (end == std::string_view::npos) return false;
    const std::string_view whole = text.substr(at, end + 1 - at);
    if (!is_address_literal(whole)) return false;
    at = end + 1;
    return true;
  }

  // A-d-l ":" of RFC 5321 4.1.2; the octets of a route nobody follows are not ours to judge by
  // SMTPUTF8.
  bool source_route() {
    const uint8_t before = seen;
    do {
      if (!take('@') || !domain()) return false;
    } while (take(','));
    seen = before;
    return take(':');
  }

  // local-part [ "@" domain ], from `at`.
  bool mailbox(Mailbox& found) {
    const size_t begin = at;
    if (!local_part()) return false;
    found.local_part = text.substr(begin, at - begin);
    if (take('@')) {
      const size_t domain_begin = at;
      if (!(next_is('[') ? literal() : domain())) return false;
      found.domain = text.substr(domain_begin, at - domain_begin);
    }
    found.address = text.substr(begin, at - begin);
    return true;
  }
};

// C1 controls and the separators of lines and paragraphs: terminals and other software take them
// for controls and line ends. `text` is UTF-8.
bool has_unicode_control(std::string_view text) {
  for (size_t at = text.find('\xC2'); at != std::string_view::npos;
       at = text.find('\xC2', at + 1)) {
    if (static_cast<unsigned char>(text[at + 1]) < 0xA0) return true;
  }
  return text.find("\u2028") != std::string_view::npos ||
         text.find("\u2029") != std::string_view::npos;
}

void judge(Mailbox& found, uint8_t seen, size_t path_octets) {
  if (found.domain.size() > kDomainMax || path_octets > kPathMax) {
    found.fault = AddressFault::too_long;
  }
  found.eight_bit = (seen & kHigh) != 0;
  if (found.eight_bit && (!is_utf8(found.address) || has_unicode_control(found.address))) {
    found.fault = AddressFault::syntax;
  }
}

// Where a path that is not one ends, so that what follows it may still be looked at: at the first
// ">" outside quotes.
size_t length_of_wreck(std::string_view text) {
  bool quoted = false;
  for (size_t at = 1; at < text.size(); ++at) {
    if (text[at] == '\\' && quoted) {
      ++at;
    } else if (text[at] == '"') {
      quoted = !quoted;
    } else if (text[at] == '>' && !quoted) {
      return at + 1;
    }
  }
  return 0;
}

}  // namespace

Path parse_path(std::string_view text) {
  Path path;
  Reader reader{text};
  if (!reader.take('<')) return path;
  if (reader.take('>')) {
    path.length = 2;
    return path;
  }
  const bool fine = (!reader.next_is('@') || reader.source_route()) &&
                    reader.mailbox(path.mailbox) && reader.take('>');
  if (!fine) {
    path.length = length_of_wreck(text);
    path.mailbox = {};
    path.mailbox.fault = AddressFault::syntax;
    return path;
  }
  path.length = reader.at;
  judge(path.mailbox, reader.seen, reader.at);
  return path;
}

Mailbox parse_mailbox(std::string_view text) {
  Mailbox found;
  Reader reader{text};
  if (!reader.mailbox(found) || !reader.ended() || found.domain.empty()) {
    found = {};
    found.fault = AddressFault::syntax;
    return found;
  }
  judge(found, reader.seen, text.size() + 2);
  return found;
}

bool is_domain(std::string_view text, bool utf8) {
  Reader reader{text};
  if (text.size() > kDomainMax || !reader.domain() || !reader.ended()) return false;
  return (reader.seen & kHigh) == 0 || (utf8 && is_utf8(text));
}

bool is_address_literal(std::string_view text) {
  if (text.size() < 3 || text.front() != '[' || text.back() != ']') return false;
  text = text.substr(1, text.size() - 2);
  static constexpr std::string_view kTag = "IPv6:";
  int family = AF_INET;
  if (equals_ignoring_case(text.substr(0, kTag.size()), kTag)) {
    family = AF_INET6;
    text.remove_prefix(kTag.size());
  }
  char terminated[INET6_ADDRSTRLEN];
  if (text.empty() || text.size() >= sizeof terminated) return false;
  std::memcpy(terminated, text.data(), text.size());
  terminated[text.size()] = '\0';
  if (std::memchr(terminated, '\0', text.size()) != nullptr) return false;
  in6_addr address;
  return inet_pton(family, terminated, &address) == 1;
}

bool is_helo_name(std::string_view text) {
  if (text.empty() || text.size() > kDomainMax) return false;
  if (text.front() == '[') return is_address_literal(text);
  size_t label = 0;  // octets of the label in arrival
  for (const char c : text) {
    if (c == '.') {
      if (label == 0) return false;
      label = 0;
    } else {
      if ((class_of(c) & kLabel) == 0 && c != '_') return false;
      ++label;
    }
  }
  return label > 0;
}

bool is_utf8(std::string_view text) {
  const auto octet = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
  size_t at = 0;
  while (at < text.size()) {
    const unsigned first = octet(at);
    if (first < 0x80) {
      ++at;
      continue;
    }
    size_t length = 0;
    if (first >= 0xC2 && first <= 0xDF) length = 2;
    if (first >= 0xE0 && first <= 0xEF) length = 3;
    if (first >= 0xF0 && first <= 0xF4) length = 4;
    if (length == 0 || text.size() - at < length) return false;
    const unsigned second = octet(at + 1);
    if (first == 0xE0 && second < 0xA0) return false;  // overlong
    if (first == 0xED && second > 0x9F) return false;  // surrogates
    if (first == 0xF0 && second < 0x90) return false;  // overlong
    if (first == 0xF4 && second > 0x8F) return false;  // above U+10FFFF
    for (size_t i = 1; i < length; ++i) {
      if ((octet(at + i) & 0xC0) != 0x80) return false;
    }
    at += length;
  }
  return true;
}

}  // namespace ringmta::smtp
