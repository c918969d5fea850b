// SPDX-License-Identifier: GPL-3.0-or-later
// The header fields of a message as an index of views, made once and used by every signature of it
// (RFC 5322 2.2, 3.6.2).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ringmta::dkim {

struct HeaderField {
  std::string_view text;   // all of it: name, colon, value, folds, the last CRLF
  uint32_t name_size = 0;  // octets of the name at the front of `text`
  uint32_t name_hash = 0;  // of the name in lower case: field_name_hash()

  std::string_view name() const { return text.substr(0, name_size); }
  std::string_view value() const { return text.substr(text.find(':') + 1); }
};

uint32_t field_name_hash(std::string_view name);  // the same for "From" and "FROM"

class HeaderFields final {
 public:
  static constexpr size_t kFieldsMax = 4096;  // further ones are not signed: too_many()

  void clear();
  // Fields of `section`, behind those added before: trace lines first, then the content's header.
  // The text stays the caller's. Lines that are no field (no colon, no proper name) are left out,
  // with their continuations: verifiers do not agree on them.
  void add(std::string_view section);

  std::span<const HeaderField> fields() const { return fields_; }
  bool too_many() const { return too_many_; }
  bool has(std::string_view name) const;

 private:
  std::vector<HeaderField> fields_;
  bool too_many_ = false;
};

// Domain of the first author (the first mailbox of the first From field), in lower case and as it
// stands there (a U-label stays one). False when there is none. This is what keys are chosen by.
bool author_domain(const HeaderFields& fields, std::string& into);

}  // namespace ringmta::dkim
