// SPDX-License-Identifier: GPL-3.0-or-later
// What the mail looks like. Text is made of words with line lengths, dot-leading lines, "From "
// lines and long subjects as real mail has them, because those are where relays break; sizes come
// out exact, because figures are given per size.
#include "tools/load/templates.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <string_view>

#include "ringmta/base/prng.h"
#include "tools/common/digest.h"

namespace ringmta::tools {
namespace {

constexpr auto kWords = std::to_array<std::string_view>(
    {"the",       "offer",   "of",       "this",  "week",     "ends",       "on",
     "Sunday",    "and",     "your",     "order", "has",      "left",       "our",
     "warehouse", "in",      "Lyon",     "with",  "tracking", "number",     "please",
     "find",      "invoice", "attached", "for",   "reading",  "a",          "short",
     "note",      "from",    "editors",  "about", "spring",   "collection", "new",
     "shoes",     "at",      "half",     "price", "until",    "stocks",     "last"});
constexpr auto kUtf8Words = std::to_array<std::string_view>(
    {"Grüße",      "für",  "Überraschung", "garçon", "déjà",   "naïve", "señor",
     "mañana",     "Łódź", "čeština",      "Ελλάδα", "привет", "мир",   "東京",
     "こんにちは", "안녕", "שלום",         "€",      "–",      "…",     "🎁"});
constexpr auto kNames = std::to_array<std::string_view>(
    {"Ada Lovelace", "\"Hopper, Grace\"", "=?UTF-8?Q?J=C3=BCrgen_Gro=C3=9F?=", "Linus",
     "=?UTF-8?B?5bGx55Sw5aSq6YOO?=", "=?ISO-8859-1?Q?Andr=E9?= Pirard", "\"O'Neil\"", "Radia P."});
constexpr auto kSubjects = std::to_array<std::string_view>(
    {"Your order is on its way", "=?UTF-8?Q?Gr=C3=BC=C3=9Fe_aus_K=C3=B6ln?=",
     "=?UTF-8?B?44GK55+l44KJ44Gb?= 12", "Re: [list] the weekly digest",
     "A rather long subject that a careful sender folds over two lines\r\n because nobody likes "
     "long lines",
     "=?UTF-8?Q?Last_chance:_20_=E2=82=AC_off?=\r\n =?UTF-8?Q?_until_Sunday_=F0=9F=8E=81?=",
     "Password reset", "."});
constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr size_t kLineMax = 76;

template <size_t N>
std::string_view pick(Prng& prng, const std::array<std::string_view, N>& from) {
  return from[prng.below(N)];
}

enum class Text : uint8_t { ascii, utf8, quoted_printable, html };

// One line without its CRLF, at most `room` octets.
std::string text_line(Prng& prng, Text text, size_t room) {
  std::string line;
  const uint64_t opening = prng.below(24);
  if (opening == 0) line = ".";
  if (opening == 1) line = "..";
  if (opening == 2) line = ".. dots to begin with, as in lists";
  if (opening == 3) line = "From the start, a line for mbox readers:";
  if (opening == 4) line = ">From here on it is quoted";
  if (opening == 5) return {};  // an empty line
  if (line == "." && prng.below(2) == 0) return line.substr(0, room);
  while (line.size() < room) {
    std::string word;
    const bool foreign = text != Text::ascii && prng.below(4) == 0;
    if (text == Text::html && prng.below(6) == 0) {
      word = fmt::format("<a href=3D\"https://example.test/{}\">", prng.below(1000));
    } else if (foreign && text != Text::utf8) {
      for (const char c : pick(prng, kUtf8Words)) {
        word += fmt::format("={:02X}", static_cast<unsigned char>(c));
      }
    } else {
      word = foreign ? pick(prng, kUtf8Words) : pick(prng, kWords);
    }
    const size_t space = line.empty() || line.back() == ' ' ? 0 : 1;
    if (line.size() + space + word.size() > room) break;
    if (space != 0) line += ' ';
    line += word;
  }
  return line;
}

// Exactly `octets` octets of lines, the last of them ended by CRLF; at least 2, or nothing.
std::string text_block(Prng& prng, Text text, size_t octets) {
  std::string block;
  block.reserve(octets);
  while (octets - block.size() > 2 * kLineMax) {
    block += text_line(prng, text, 40 + prng.below(kLineMax - 40));
    block += "\r\n";
  }
  while (block.size() < octets) {
    const size_t left = octets - block.size();
    if (left == 1) {  // one octet cannot be a line: it joins the last one
      block.insert(block.size() >= 2 ? block.size() - 2 : 0, 1, '-');
      break;
    }
    const size_t length = std::min(left - 2, kLineMax);
    block.append(length, 'z');
    block += "\r\n";
  }
  return block;
}

std::string attachment(Prng& prng, size_t octets) {
  std::string lines;
  lines.reserve(octets);
  for (size_t line = 0; line < octets / (kLineMax + 2); ++line) {
    for (size_t i = 0; i < kLineMax; i += 10) {
      uint64_t bits = prng.next();
      for (size_t k = i; k < std::min(i + 10, kLineMax); ++k, bits >>= 6)
        lines += kBase64[bits & 63];
    }
    lines += "\r\n";
  }
  return lines;
}

// Writes the head and remembers where its fields are.
class HeadWriter final {
 public:
  explicit HeadWriter(MailTemplate& mail) : mail_(mail) {}

  void text(std::string_view text) { mail_.head += text; }
  void index() {
    mail_.index_fields.push_back(here());
    mail_.head.append(kIndexDigits, '0');
  }
  void date() {
    mail_.date_field = here();
    mail_.head.append(kDateLength, ' ');
  }
  void recipient(size_t length) {
    mail_.recipient_field = here();
    mail_.head.append(length, 'r');
  }
  void marks(const MailOptions& options) {
    text(kIdHeader);
    text(options.run);
    text("-");
    index();
    text("\r\n");
    text(kRecipientsHeader);
    mail_.recipients_field = here();
    mail_.head.append(kRecipientsDigits, '0');
    text("\r\n");
    mail_.digest_line = here();
    text(kDigestHeader);
    mail_.digest_field = here();
    mail_.head.append(kDigestTextLength, '0');
    text("\r\n");
    mail_.digest_line_end = here();
  }

 private:
  uint32_t here() const { return static_cast<uint32_t>(mail_.head.size()); }
  MailTemplate& mail_;
};

enum class Kind : uint8_t { plain, eight_bit, quoted, alternative, mixed };

Kind pick_kind(Prng& prng, uint32_t size) {
  if (size < 900) return static_cast<Kind>(prng.below(2));
  if (size < 4096) return static_cast<Kind>(prng.below(4));
  return static_cast<Kind>(prng.below(5));
}

std::string_view content_headers(Kind kind) {
  switch (kind) {
    case Kind::plain:
      return "Content-Type: text/plain; charset=us-ascii\r\n";
    case Kind::eight_bit:
      return "Content-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: 8bit\r\n";
    case Kind::quoted:
      return "Content-Type: text/plain; charset=UTF-8\r\n"
             "Content-Transfer-Encoding: quoted-printable\r\n";
    case Kind::alternative:
      return "Content-Type: multipart/alternative;\r\n boundary=\"=_part.of/load\"\r\n";
    case Kind::mixed:
      return "Content-Type: multipart/mixed; boundary=\"=_part.of/load\"\r\n";
  }
  return {};
}

constexpr std::string_view kBoundary = "--=_part.of/load\r\n";
constexpr std::string_view kLastBoundary = "--=_part.of/load--\r\n";
constexpr std::string_view kPlainPart = "Content-Type: text/plain; charset=us-ascii\r\n\r\n";
constexpr std::string_view kHtmlPart =
    "Content-Type: text/html; charset=UTF-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n";
constexpr std::string_view kAttachmentPart =
    "Content-Type: application/pdf; name=\"invoice.pdf\"\r\n"
    "Content-Disposition: attachment; filename=\"invoice.pdf\"\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\n";

// What follows the head: `room` octets (more when the frame of the kind alone is larger).
std::string compose_body(Prng& prng, Kind kind, size_t room) {
  if (kind == Kind::plain) return text_block(prng, Text::ascii, room);
  if (kind == Kind::eight_bit) return text_block(prng, Text::utf8, room);
  if (kind == Kind::quoted) return text_block(prng, Text::quoted_printable, room);
  const std::string_view part = kind == Kind::alternative ? kHtmlPart : kAttachmentPart;
  const size_t frame = kBoundary.size() + part.size() + kLastBoundary.size();
  const size_t content = room > frame ? room - frame : 0;
  std::string second = kind == Kind::alternative ? text_block(prng, Text::html, content / 10 * 6)
                                                 : attachment(prng, content / 10 * 8);
  std::string body = text_block(prng, Text::ascii, content - second.size());
  body += kBoundary;
  body += part;
  body += second;
  body += kLastBoundary;
  return body;
}

}  // namespace

MailTemplate compose_template(const MailOptions& options, uint64_t seed, uint32_t size,
                              size_t recipient_length) {
  Prng prng(seed);
  const Kind kind = pick_kind(prng, size);
  MailTemplate mail;
  HeadWriter head(mail);
  head.marks(options);
  head.text("Date: ");
  head.date();
  head.text(
      fmt::format("\r\nFrom: \"The Weekly\" <{}>\r\nTo: {} <", options.from, pick(prng, kNames)));
  head.recipient(recipient_length);
  head.text(
      fmt::format(">\r\nSubject: {}\r\nMessage-ID: <{}.", pick(prng, kSubjects), options.run));
  head.index();
  head.text("@load.invalid>\r\nMIME-Version: 1.0\r\n");
  head.text(content_headers(kind));
  if (size >= 2048) {
    head.text(fmt::format(
        "List-Unsubscribe: <https://sender.test/u/{:016x}>\r\nPrecedence: bulk\r\n", prng.next()));
  }
  head.text("\r\n");
  if (kind == Kind::alternative || kind == Kind::mixed) {
    head.text(kBoundary);
    head.text(kPlainPart);
  }
  head.text("Issue ");
  head.index();
  head.text("\r\n");
  mail.body = compose_body(prng, kind, size > mail.head.size() ? size - mail.head.size() : 0);
  mail.eight_bit = kind == Kind::eight_bit;
  return mail;
}

MailTemplate compose_stamp(const MailOptions& options) {
  MailTemplate mail;
  HeadWriter(mail).marks(options);
  return mail;
}

}  // namespace ringmta::tools
