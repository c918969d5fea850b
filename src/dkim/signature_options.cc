// SPDX-License-Identifier: GPL-3.0-or-later
// Are options something a verifier accepts (RFC 6376 3.5, 5.4)? And what is signed by default.
#include <fmt/format.h>

#include <algorithm>

#include "ringmta/base/bytes.h"
#include "ringmta/dkim/signer.h"

namespace ringmta::dkim {
namespace {

constexpr size_t kDomainSizeMax = 253;  // RFC 1035 2.3.4, as text
constexpr size_t kLabelSizeMax = 63;

bool is_letter_or_digit(char c) {
  return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

// Labels of letters, digits, hyphens and underscores (RFC 8616: A-labels for others).
bool is_name(std::string_view text) {
  if (text.empty() || text.size() > kDomainSizeMax) return false;
  while (true) {
    const std::string_view label = text.substr(0, text.find('.'));
    if (label.empty() || label.size() > kLabelSizeMax) return false;
    if (!std::ranges::all_of(
            label, [](char c) { return is_letter_or_digit(c) || c == '-' || c == '_'; })) {
      return false;
    }
    if (label.size() == text.size()) return true;
    text.remove_prefix(label.size() + 1);
  }
}

bool is_field_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return c > ' ' && c < 127 && c != ':' && c != ';';
  });
}

// d= itself or a name below it (RFC 6376 3.5, i=).
bool is_within(std::string_view name, std::string_view domain) {
  if (name.size() <= domain.size()) return equals_ignoring_case(name, domain);
  const std::string_view tail = name.substr(name.size() - domain.size());
  return name[name.size() - domain.size() - 1] == '.' && equals_ignoring_case(tail, domain);
}

Status check_identity(const SignatureOptions& options) {
  const std::string& identity = options.identity;
  if (identity.empty()) return {};
  const auto refuse = [&](std::string_view why) {
    return fail(fmt::format("DKIM identity '{}' {}", identity, why));
  };
  const size_t at = identity.rfind('@');
  if (at == std::string::npos) return refuse("has no @: its form is [user]@domain");
  if (!std::ranges::all_of(identity, [](char c) { return c > ' ' && c < 127; })) {
    return refuse("has white space, or characters that are not ASCII or not visible");
  }
  const std::string_view domain = std::string_view(identity).substr(at + 1);
  if (!is_name(domain)) return refuse("has no domain name behind its @");
  if (!is_within(domain, options.domain)) {
    return refuse(fmt::format("is not within the domain '{}'", options.domain));
  }
  return {};
}

Status check_fields(const SignatureOptions& options) {
  bool has_from = false;
  for (const auto* names : {&options.oversigned_fields, &options.signed_fields}) {
    for (const std::string& name : *names) {
      if (!is_field_name(name)) {
        return fail(fmt::format("'{}' in the fields to be signed is not a field name", name));
      }
      has_from = has_from || equals_ignoring_case(name, "from");
    }
  }
  if (!has_from) return fail("the fields to be signed must name From (RFC 6376 5.4)");
  if (options.oversigned_fields.size() + options.signed_fields.size() > Signer::kNamesMax) {
    return fail(fmt::format("more than {} names of fields to be signed", Signer::kNamesMax));
  }
  return {};
}

}  // namespace

Status check(const SignatureOptions& options) {
  if (!is_name(options.domain) || options.domain.find('.') == std::string::npos) {
    return fail(fmt::format(
        "DKIM domain '{}' is not a domain name (write non-ASCII names as A-labels, xn--...)",
        options.domain));
  }
  if (!is_name(options.selector)) {
    return fail(fmt::format("DKIM selector '{}' is not made of labels of letters, digits, - and _",
                            options.selector));
  }
  if (options.lifetime.count < 0 || (options.lifetime.count > 0 && options.lifetime.count < 1000)) {
    return fail("the lifetime of a DKIM signature is at least a second");
  }
  if (auto status = check_identity(options); !status) return status;
  return check_fields(options);
}

Identity identity_of(const SignatureOptions& options) {
  const size_t domain_size = options.identity.size() - (options.identity.rfind('@') + 1);
  return domain_size > options.domain.size() ? Identity::below : Identity::of_domain;
}

// A mailing list or forwarder that adds one of these changes what the reader sees.
std::vector<std::string> default_oversigned() {
  return {"from",       "to",           "cc",           "reply-to",
          "subject",    "date",         "message-id",   "in-reply-to",
          "references", "mime-version", "content-type", "content-transfer-encoding"};
}

std::vector<std::string> default_signed() {
  return {"sender",
          "resent-date",
          "resent-from",
          "resent-to",
          "resent-cc",
          "resent-message-id",
          "list-id",
          "list-help",
          "list-unsubscribe",
          "list-unsubscribe-post",
          "list-post",
          "list-owner",
          "list-archive",
          "list-subscribe",
          "feedback-id",
          "auto-submitted",
          "content-id",
          "content-description",
          "content-disposition"};
}

}  // namespace ringmta::dkim
