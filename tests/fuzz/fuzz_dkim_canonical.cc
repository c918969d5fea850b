// SPDX-License-Identifier: GPL-3.0-or-later
// DKIM's canonicalization as content arrives, in one piece and cut at any place, against one
// written after RFC 6376 3.4 word for word: it takes the dots out, splits the lines, and edits
// them.
#include <algorithm>
#include <string>
#include <vector>

#include "body_canonicalizer.h"
#include "header_canonicalizer.h"
#include "input.h"
#include "ringmta/base/assert.h"
#include "ringmta/base/bytes.h"
#include "ringmta/dkim/content_hasher.h"
#include "ringmta/dkim/header_fields.h"
#include "sha256.h"

namespace ringmta::dkim {
namespace {

Digest sha256(std::string_view text) {
  Sha256Hash hash;
  hash.update(text.data(), text.size());
  Digest digest;
  hash.finish(digest);
  return digest;
}

bool is_blank(char c) { return c == ' ' || c == '\t'; }

// Every run of blanks as one, none at the end.
std::string with_single_blanks(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (!is_blank(c)) {
      result += c;
    } else if (!result.ends_with(' ')) {
      result += ' ';
    }
  }
  while (result.ends_with(' ')) result.pop_back();
  return result;
}

struct Plain {
  std::string header;
  std::vector<std::string> body;  // lines, without line ends
};

Plain plain_of(std::string_view wire) {
  Plain plain;
  bool in_body = false;
  while (!wire.empty()) {
    const size_t end = wire.find("\r\n");
    std::string_view line = wire.substr(0, end);
    wire.remove_prefix(end == std::string_view::npos ? wire.size() : end + 2);
    if (line.starts_with('.')) line.remove_prefix(1);
    if (in_body) {
      plain.body.emplace_back(line);
    } else if (line.empty() && end != std::string_view::npos) {
      in_body = true;
    } else {
      plain.header += line;
      if (end != std::string_view::npos) plain.header += "\r\n";
    }
  }
  return plain;
}

std::string canonical_body(std::vector<std::string> lines, Canonicalization which) {
  if (which == Canonicalization::relaxed) {
    for (std::string& line : lines) line = with_single_blanks(line);
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  std::string text;
  for (const std::string& line : lines) text += line + "\r\n";
  if (text.empty() && which == Canonicalization::simple) text = "\r\n";
  return text;
}

// Of a header section of proper lines.
std::string canonical_field(const HeaderField& field, Canonicalization which) {
  if (which == Canonicalization::simple) return std::string(field.text);
  std::string name(field.name());
  std::transform(name.begin(), name.end(), name.begin(), ascii_lower);
  std::string unfolded;
  for (const char c : field.value()) {
    if (c != '\r' && c != '\n') unfolded += c;
  }
  std::string value = with_single_blanks(unfolded);
  if (value.starts_with(' ')) value.erase(0, 1);
  return name + ":" + value + "\r\n";
}

void check_body(std::string_view wire, size_t piece_length) {
  const Plain plain = plain_of(wire);
  ContentHasher hasher({.simple = true, .relaxed = true});
  for (int round = 0; round < 2; ++round) {  // twice: it is used again for the next message
    hasher.begin();
    fuzz::in_pieces(wire, piece_length, [&](std::string_view piece) { hasher.append(piece); });
    hasher.finish();
    RINGMTA_ASSERT(hasher.header() == plain.header);
    for (const Canonicalization which : {Canonicalization::simple, Canonicalization::relaxed}) {
      RINGMTA_ASSERT(hasher.body_hash(which) == sha256(canonical_body(plain.body, which)));
    }
  }
}

void check_header(std::string_view section) {
  HeaderFields fields;
  fields.add(section);
  for (const HeaderField& field : fields.fields()) {
    RINGMTA_ASSERT(!field.name().empty() && field.text.find(':') != std::string_view::npos);
    for (const Canonicalization which : {Canonicalization::simple, Canonicalization::relaxed}) {
      Sha256Hash hash;
      {
        HashSink sink(hash);
        hash_header_field(field.text, field.name_size, which, true, sink);
      }
      Digest digest;
      hash.finish(digest);
      RINGMTA_ASSERT(digest == sha256(canonical_field(field, which)));
    }
  }
  std::string domain;
  if (author_domain(fields, domain)) {
    RINGMTA_ASSERT(!domain.empty() && domain.find_first_of(" \t\r\n>,;(") == std::string::npos);
  }
}

}  // namespace
}  // namespace ringmta::dkim

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringmta;
  using namespace ringmta::dkim;
  fuzz::Input input(data, size);
  const size_t length = 1 + input.byte() % 61U;
  const std::string wire(input.rest());
  if (wire.empty()) return 0;
  check_body(wire, wire.size());
  check_body(wire, length);
  check_body(wire, 1);
  for (const Canonicalization which : {Canonicalization::simple, Canonicalization::relaxed}) {
    RINGMTA_ASSERT(unchanged_run(wire, which) == unchanged_run_plain(wire, which));
  }
  // Header sections have proper lines: content with others is refused before it is signed.
  std::string section;
  for (const char c : wire) {
    if (c == '\n') {
      section += "\r\n";
    } else if (c != '\r') {
      section += c;
    }
  }
  if (!section.ends_with("\r\n")) section += "\r\n";
  check_header(section);
  return 0;
}
