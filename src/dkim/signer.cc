// SPDX-License-Identifier: GPL-3.0-or-later
// Writes the text of a signature field, hashes what it covers, and puts the signature in.
#include "ringmta/dkim/signer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base64.h"
#include "header_canonicalizer.h"
#include "ringmta/base/assert.h"
#include "ringmta/base/bytes.h"
#include "tag_writer.h"

namespace ringmta::dkim {
namespace {

constexpr std::string_view kFieldName = "DKIM-Signature";

std::string_view to_text(Canonicalization which) {
  return which == Canonicalization::simple ? "simple" : "relaxed";
}

// DKIM-Quoted-Printable (RFC 6376 2.11) of what check() lets through: of visible ASCII these two
// would end the tag or begin an escape.
std::string quoted_printable(std::string_view text) {
  std::string quoted;
  for (const char c : text) {
    if (c == '=') {
      quoted += "=3D";
    } else if (c == ';') {
      quoted += "=3B";
    } else {
      quoted.push_back(c);
    }
  }
  return quoted;
}

std::string constant_part(const SignatureOptions& options, KeyType type) {
  std::string text(kFieldName);
  text.append(": v=1");
  TagWriter writer(text);
  writer.tag("a=", type == KeyType::rsa ? "rsa-sha256" : "ed25519-sha256");
  writer.tag("c=", fmt::format("{}/{}", to_text(options.header), to_text(options.body)));
  writer.tag("d=", options.domain);
  writer.tag("s=", options.selector);
  if (!options.identity.empty()) writer.tag("i=", quoted_printable(options.identity));
  return text;
}

void number_tag(TagWriter& writer, std::string_view name, int64_t value) {
  char digits[24];
  const auto end = fmt::format_to_n(digits, sizeof digits, "{}", value);
  writer.tag(name, {digits, end.size});
}

}  // namespace

Signer::Signer(SignatureOptions options, Key key, std::vector<Name> names)
    : options_(std::move(options)),
      key_(std::move(key)),
      names_(std::move(names)),
      constant_(constant_part(options_, key_.type())) {}

Result<Signer> Signer::create(SignatureOptions options, Key key) {
  if (auto status = check(options); !status) return std::unexpected(status.error());
  std::vector<Name> names;
  const auto take = [&names](const std::vector<std::string>& from, bool oversigned) {
    for (std::string name : from) {
      std::ranges::transform(name, name.begin(), ascii_lower);
      const uint32_t hash = field_name_hash(name);
      if (std::ranges::find(names, name, &Name::text) == names.end()) {
        names.push_back({std::move(name), hash, oversigned});
      }
    }
  };
  take(options.oversigned_fields, true);
  take(options.signed_fields, false);
  return Signer(std::move(options), std::move(key), std::move(names));
}

Status Signer::prepare(const HeaderFields& fields, const Digest& body_hash, WallTime now,
                       Prepared& into) const {
  if (fields.too_many()) {
    return fail(fmt::format("not signed: more than {} header fields", HeaderFields::kFieldsMax));
  }
  if (!fields.has("from")) return fail("not signed: the message has no From field");
  write_field(fields, body_hash, now, into.text_);

  // What the signature covers, in the order of h=: of each name the last field first (RFC 6376
  // 5.4.2), then the signature field itself without signature and line end.
  Sha256Hash hash;
  {
    HashSink sink(hash);
    for (const Name& name : names_) {
      for (size_t i = fields.fields().size(); i-- > 0;) {
        const HeaderField& field = fields.fields()[i];
        if (field.name_hash != name.hash || !equals_ignoring_case(field.name(), name.text))
          continue;
        hash_header_field(field.text, field.name_size, options_.header, true, sink);
      }
    }
    hash_header_field(into.text_, kFieldName.size(), options_.header, false, sink);
  }
  hash.finish(into.digest_);
  into.signer_ = this;
  return {};
}

// Everything up to "b=", behind which nothing may stand before the signature: its white space would
// be part of what is signed.
void Signer::write_field(const HeaderFields& fields, const Digest& body_hash, WallTime now,
                         std::string& text) const {
  text.assign(constant_);
  TagWriter writer(text);
  const int64_t seconds_now = now.ms / 1000;
  if (options_.timestamp) number_tag(writer, "t=", seconds_now);
  if (options_.lifetime.count > 0) {
    number_tag(writer, "x=", seconds_now + options_.lifetime.count / 1000);
  }
  bool first = true;
  for (const Name& name : names_) {
    size_t times = name.oversigned ? 1 : 0;
    for (const HeaderField& field : fields.fields()) {
      times += field.name_hash == name.hash && equals_ignoring_case(field.name(), name.text);
    }
    for (; times > 0; --times) {
      if (first) {
        writer.tag("h=", name.text);
        first = false;
      } else {
        writer.element(name.text);
      }
    }
  }
  writer.tag("bh=", "");
  append_base64(body_hash, text);
  text.push_back(';');
  writer.fold();
  text.append("b=");
}

Status Signer::sign(Prepared& prepared, std::string& into) {
  RINGMTA_ASSERT(prepared.signer_ == this);
  prepared.signer_ = nullptr;
  std::byte signature[Key::kSignatureSizeMax];
  const std::span<std::byte> octets(signature, key_.signature_size());
  if (auto status = key_.sign(prepared.digest_, octets); !status) return status;

  std::string& text = prepared.text_;
  const size_t base64_begin = text.size();
  append_base64(octets, text);
  into.append(text, 0, base64_begin);
  TagWriter writer(into);
  for (size_t at = base64_begin; at < text.size();) {
    if (writer.line_size() >= TagWriter::kLineSizeAdvised) writer.fold();
    const size_t room = TagWriter::kLineSizeAdvised - writer.line_size();
    into.append(text, at, room);
    at += room;
  }
  into.append("\r\n");
  return {};
}

}  // namespace ringmta::dkim
