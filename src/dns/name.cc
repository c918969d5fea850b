// SPDX-License-Identifier: GPL-3.0-or-later
// Names from text and to text. libidn2 is asked only where a domain is not ASCII.
#include "ringmta/dns/name.h"

#include <fmt/core.h>
#include <idn2.h>

#include <algorithm>
#include <memory>

#include "ringmta/base/bytes.h"
#include "ringmta/base/octets.h"

namespace ringmta::dns {
namespace {

bool is_hostname_octet(uint8_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

// Fit for an error message: what is not printable ASCII or UTF-8 stays out of logs and DSNs.
std::string shown(std::string_view text) {
  std::string clean(text.substr(0, 300));
  for (char& c : clean) {
    if (static_cast<uint8_t>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return clean;
}

}  // namespace

Result<Name> Name::parse(std::string_view text) {
  const std::string_view whole = text;
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.empty()) return fail("an empty domain name");
  Name name;
  size_t length = 0;
  while (!text.empty()) {
    const size_t dot = std::min(text.find('.'), text.size());
    const std::string_view label = text.substr(0, dot);
    if (label.empty()) return fail(fmt::format("'{}' has an empty label", shown(whole)));
    if (label.size() > kLabelMax) {
      return fail(fmt::format("'{}' has a label of more than 63 octets", shown(whole)));
    }
    if (length + 1 + label.size() + 1 > kOctetsMax) {
      return fail(fmt::format("'{}' is longer than a domain name can be", shown(whole)));
    }
    name.octets_[length++] = static_cast<uint8_t>(label.size());
    for (const char c : label) {
      if (!is_hostname_octet(static_cast<uint8_t>(c))) {
        return fail(fmt::format("'{}' has characters no host name may have", shown(whole)));
      }
      name.octets_[length++] = static_cast<uint8_t>(ascii_lower(c));
    }
    text.remove_prefix(dot);
    if (text.empty()) break;
    text.remove_prefix(1);
    if (text.empty()) return fail(fmt::format("'{}' has an empty label", shown(whole)));
  }
  name.octets_[length++] = 0;
  name.length_ = static_cast<uint8_t>(length);
  return name;
}

std::optional<Name> Name::from_wire(Bytes wire) {
  if (wire.empty() || wire.size() > kOctetsMax) return std::nullopt;
  Name name;
  size_t at = 0;
  for (;;) {
    const auto label = static_cast<size_t>(wire[at]);
    if (label > kLabelMax || at + 1 + label > wire.size()) return std::nullopt;
    name.octets_[at++] = static_cast<uint8_t>(label);
    if (label == 0) break;
    for (const size_t end = at + label; at < end; ++at) {
      name.octets_[at] = static_cast<uint8_t>(ascii_lower(static_cast<char>(wire[at])));
    }
    if (at >= wire.size()) return std::nullopt;
  }
  if (at != wire.size()) return std::nullopt;
  name.length_ = static_cast<uint8_t>(at);
  return name;
}

bool Name::is_within(const Name& ancestor) const {
  for (size_t at = 0; length_ - at >= ancestor.length_; at += 1U + octets_[at]) {
    if (length_ - at == ancestor.length_) {
      return std::memcmp(octets_.data() + at, ancestor.octets_.data(), ancestor.length_) == 0;
    }
  }
  return false;
}

bool Name::is_hostname() const {
  if (is_root()) return false;
  for (size_t at = 0; octets_[at] != 0;) {
    for (const size_t end = at + 1 + octets_[at]; ++at < end;) {
      if (!is_hostname_octet(octets_[at])) return false;
    }
  }
  return true;
}

std::string Name::text() const {
  if (is_root()) return ".";
  std::string text;
  for (size_t at = 0; octets_[at] != 0;) {
    if (!text.empty()) text += '.';
    for (const size_t end = at + 1 + octets_[at]; ++at < end;) {
      if (is_hostname_octet(octets_[at])) {
        text += static_cast<char>(octets_[at]);
      } else {
        text += fmt::format("\\{:03}", octets_[at]);
      }
    }
  }
  return text;
}

Result<Name> mail_domain(std::string_view domain) {
  if (is_ascii(domain)) return Name::parse(domain);
  constexpr size_t kDomainOctetsMax = 1024;  // U-labels are never longer than four times A-labels
  if (domain.size() > kDomainOctetsMax) return fail("a domain longer than any can be");
  if (domain.find('\0') != std::string_view::npos) return fail("a domain with a NUL in it");
  const std::string input(domain);
  uint8_t* output = nullptr;
  const int result = idn2_lookup_u8(reinterpret_cast<const uint8_t*>(input.c_str()), &output,
                                    IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
  const std::unique_ptr<uint8_t, void (*)(void*)> owner(output, idn2_free);
  if (result != IDN2_OK) {
    return fail(fmt::format("'{}' is not a valid internationalized domain ({})", shown(domain),
                            idn2_strerror(result)));
  }
  return Name::parse(reinterpret_cast<const char*>(output));
}

void append_domain_key(std::string_view domain, std::string& into) {
  const size_t before = into.size();
  const auto plain = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (!std::ranges::all_of(domain, plain)) {
    const bool pattern = domain.starts_with('.');
    if (const Result<Name> name = mail_domain(domain.substr(pattern ? 1 : 0))) {
      if (pattern) into += '.';
      into += name->text();
    }
  }
  if (into.size() == before) into += domain;
  for (size_t i = before; i < into.size(); ++i) into[i] = ascii_lower(into[i]);
}

}  // namespace ringmta::dns
