// SPDX-License-Identifier: GPL-3.0-or-later
// Reads a published key record (RFC 6376 3.6.1) as far as a signer must: is it for this key?
#include <fmt/format.h>

#include <optional>

#include "base64.h"
#include "ringmta/base/bytes.h"
#include "ringmta/dkim/key.h"

namespace ringmta::dkim {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// Value of `tag` in a tag list; nothing when it is not there.
std::optional<std::string_view> tag_value(std::string_view record, std::string_view tag) {
  while (!record.empty()) {
    const std::string_view one = record.substr(0, record.find(';'));
    const size_t equals = one.find('=');
    if (equals != std::string_view::npos && trimmed(one.substr(0, equals)) == tag) {
      return trimmed(one.substr(equals + 1));
    }
    record.remove_prefix(std::min(record.size(), one.size() + 1));
  }
  return std::nullopt;
}

// Is `word` in a list separated by colons? An absent list allows everything.
bool list_allows(std::optional<std::string_view> list, std::string_view word) {
  if (!list) return true;
  std::string_view rest = *list;
  while (true) {
    const std::string_view one = rest.substr(0, rest.find(':'));
    if (equals_ignoring_case(trimmed(one), word) || trimmed(one) == "*") return true;
    if (one.size() == rest.size()) return false;
    rest.remove_prefix(one.size() + 1);
  }
}

}  // namespace

Status Key::check_record(std::string_view record) const {
  const std::string_view own_type = type() == KeyType::rsa ? "rsa" : "ed25519";
  if (const auto version = tag_value(record, "v"); version && *version != "DKIM1") {
    return fail(fmt::format("the record is not one of DKIM (v={})", *version));
  }
  const auto published = tag_value(record, "p");
  if (!published) return fail("the record has no public key (p=)");
  if (published->empty()) return fail("the record revokes the key (p= is empty)");
  const std::string_view published_type = tag_value(record, "k").value_or("rsa");
  if (published_type != own_type) {
    return fail(fmt::format("the record has a key of type {}, the private key is of type {}",
                            published_type, own_type));
  }
  if (base64_octets(*published) != base64_octets(public_base64())) {
    return fail("the record's public key belongs to another private key");
  }
  if (!list_allows(tag_value(record, "h"), "sha256")) {
    return fail("the record does not allow SHA-256 (h=)");
  }
  if (!list_allows(tag_value(record, "s"), "email")) {
    return fail("the record is not for mail (s=)");
  }
  return {};
}

}  // namespace ringmta::dkim
