// SPDX-License-Identifier: GPL-3.0-or-later
// Reads a published key record (RFC 6376 3.6.1) as far as a signer must: is it for this key, and
// will verifiers take it? One that breaks the rules of tag lists (3.2) is void for them, whatever
// its key, so it is refused here in words that say what to change.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "base64.h"
#include "ringmta/base/bytes.h"
#include "ringmta/dkim/key.h"

namespace ringmta::dkim {
namespace {

struct Tag {
  std::string_view name;
  std::string_view value;
};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::optional<std::string_view> value_of(const std::vector<Tag>& tags, std::string_view name) {
  const auto found = std::ranges::find(tags, name, &Tag::name);
  if (found == tags.end()) return std::nullopt;
  return found->value;
}

// Only behind the last tag may a semicolon stand without one.
Result<std::vector<Tag>> tags_of(std::string_view record) {
  std::vector<Tag> tags;
  while (!trimmed(record).empty()) {
    const std::string_view one = record.substr(0, record.find(';'));
    const size_t equals = one.find('=');
    const std::string_view name = trimmed(one.substr(0, equals));
    if (equals == std::string_view::npos || name.empty()) {
      return fail(
          fmt::format("'{}' in the record is not of the form name=value: no verifier takes "
                      "it",
                      trimmed(one)));
    }
    if (value_of(tags, name)) {
      return fail(fmt::format("the record has {}= twice: no verifier takes it", name));
    }
    tags.push_back({name, trimmed(one.substr(equals + 1))});
    record.remove_prefix(std::min(record.size(), one.size() + 1));
  }
  return tags;
}

// Is `word` in a list separated by colons?
bool has_word(std::string_view list, std::string_view word) {
  while (true) {
    const std::string_view one = list.substr(0, list.find(':'));
    if (equals_ignoring_case(trimmed(one), word)) return true;
    if (one.size() == list.size()) return false;
    list.remove_prefix(one.size() + 1);
  }
}

Status check_version(const std::vector<Tag>& tags) {
  const auto version = value_of(tags, "v");
  if (!version) return {};
  if (*version != "DKIM1")
    return fail(fmt::format("the record is not one of DKIM (v={})", *version));
  if (tags.front().name != "v") return fail("v=DKIM1 must be the first tag of the record");
  return {};
}

}  // namespace

Status Key::check_record(std::string_view record, Identity identity) const {
  const auto tags = tags_of(record);
  if (!tags) return std::unexpected(tags.error());
  if (auto status = check_version(*tags); !status) return status;
  const auto published = value_of(*tags, "p");
  if (!published) return fail("the record has no public key (p=)");
  if (published->empty()) return fail("the record revokes the key (p= is empty)");
  const std::string_view own_type = type() == KeyType::rsa ? "rsa" : "ed25519";
  const std::string_view published_type = value_of(*tags, "k").value_or("rsa");
  if (published_type != own_type) {
    return fail(fmt::format("the record has a key of type {}, the private key is of type {}",
                            published_type, own_type));
  }
  if (base64_octets(*published) != base64_octets(public_base64())) {
    return fail("the record's public key belongs to another private key");
  }
  if (!has_word(value_of(*tags, "h").value_or("sha256"), "sha256")) {
    return fail("the record does not allow SHA-256 (h=)");
  }
  const std::string_view services = value_of(*tags, "s").value_or("*");
  if (!has_word(services, "*") && !has_word(services, "email")) {
    return fail("the record is not for mail (s=)");
  }
  if (identity == Identity::below && has_word(value_of(*tags, "t").value_or(""), "s")) {
    return fail(
        "the record says t=s, so verifiers refuse signatures whose identity (i=) is below the "
        "domain: take s out of t=, or the key's identity out of the configuration");
  }
  return {};
}

bool is_testing(std::string_view record) {
  const auto tags = tags_of(record);
  return tags && has_word(value_of(*tags, "t").value_or(""), "y");
}

}  // namespace ringmta::dkim
