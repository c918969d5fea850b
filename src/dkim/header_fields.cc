// SPDX-License-Identifier: GPL-3.0-or-later
#include "ringmta/dkim/header_fields.h"

#include <algorithm>

#include "ringmta/base/bytes.h"

namespace ringmta::dkim {
namespace {

// ftext (RFC 5322 3.6.8): printable ASCII but colon and space.
bool is_field_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) { return c > ' ' && c < 127; });
}

// Octets of the field at the front: its line and those that begin with white space.
size_t field_size(std::string_view section) {
  size_t end = 0;
  do {
    const size_t newline = section.find('\n', end);
    if (newline == std::string_view::npos) return section.size();
    end = newline + 1;
  } while (end < section.size() && (section[end] == ' ' || section[end] == '\t'));
  return end;
}

}  // namespace

uint32_t field_name_hash(std::string_view name) {
  uint32_t hash = 2'166'136'261;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(ascii_lower(c))) * 16'777'619;
  return hash;
}

void HeaderFields::clear() {
  fields_.clear();
  too_many_ = false;
}

void HeaderFields::add(std::string_view section) {
  while (!section.empty()) {
    const std::string_view text = section.substr(0, field_size(section));
    section.remove_prefix(text.size());
    std::string_view name = text.substr(0, text.find(':'));
    if (name.size() == text.size()) continue;
    // RFC 5322 4.5 knows white space before the colon.
    while (name.ends_with(' ') || name.ends_with('\t')) name.remove_suffix(1);
    if (!is_field_name(name)) continue;
    if (fields_.size() == kFieldsMax) {
      too_many_ = true;
      return;
    }
    fields_.push_back({text, static_cast<uint32_t>(name.size()), field_name_hash(name)});
  }
}

bool HeaderFields::has(std::string_view name) const {
  const uint32_t hash = field_name_hash(name);
  return std::ranges::any_of(fields_, [&](const HeaderField& field) {
    return field.name_hash == hash && equals_ignoring_case(field.name(), name);
  });
}

}  // namespace ringmta::dkim
