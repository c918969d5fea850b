// SPDX-License-Identifier: GPL-3.0-or-later
// A walk through the DER of a certificate (X.690 10): definite lengths, known places, nothing else.
#include "certificate.h"

#include <arpa/inet.h>
#include <wolfssl/wolfcrypt/hash.h>

#include <algorithm>
#include <ctime>
#include <optional>

#include "reader.h"
#include "ringmta/base/assert.h"

namespace ringmta::tls {
namespace {

enum Tag : uint32_t {
  boolean = 0x01,
  integer = 0x02,
  bit_string = 0x03,
  octet_string = 0x04,
  object_identifier = 0x06,
  utc_time = 0x17,
  generalized_time = 0x18,
  sequence = 0x30,
  version = 0xA0,     // [0]
  extensions = 0xA3,  // [3]
  dns_name = 0x82,    // [2] of GeneralName
  ip_address = 0x87,  // [7]
};

struct Element {
  uint32_t tag = 0;
  Bytes content;
};

Element next_element(Reader& reader) {
  Element element;
  element.tag = reader.number(1);
  const uint32_t first = reader.number(1);
  // Up to four octets of length; more would be longer than any certificate.
  const uint32_t length_octets = first & 0x7F;
  if (first >= 0x80 && (length_octets == 0 || length_octets > 4)) {
    reader.take(SIZE_MAX);
    return element;
  }
  element.content = reader.take(first < 0x80 ? first : reader.number(length_octets));
  return element;
}

// The next element when it has this tag.
std::optional<Bytes> next_of(Reader& reader, Tag tag) {
  Reader ahead = reader;
  const Element element = next_element(ahead);
  if (ahead.failed() || element.tag != tag) return std::nullopt;
  reader = ahead;
  return element.content;
}

// UTCTime or GeneralizedTime, in the forms of RFC 5280 4.1.2.5: "YYMMDDHHMMSSZ", "YYYYMMDD...".
std::optional<int64_t> time_of(const Element& element) {
  std::string text(as_text(element.content));
  if (element.tag == Tag::utc_time) text.insert(0, text.substr(0, 1) >= "5" ? "19" : "20");
  if (element.tag != Tag::utc_time && element.tag != Tag::generalized_time) return std::nullopt;
  std::tm time{};
  const char* end = strptime(text.c_str(), "%Y%m%d%H%M%SZ", &time);
  if (text.size() != 15 || end == nullptr || *end != '\0') return std::nullopt;
  return timegm(&time);
}

bool skip(Reader& reader, size_t elements) {
  for (; elements > 0; --elements) next_element(reader);
  return !reader.failed();
}

constexpr std::string_view kSubjectAltName("\x55\x1D\x11", 3);
constexpr std::string_view kEcPublicKey("\x2A\x86\x48\xCE\x3D\x02\x01", 7);
constexpr std::string_view kRsaKey("\x2A\x86\x48\x86\xF7\x0D\x01\x01\x01", 9);
constexpr std::string_view kRsaPssKey("\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0A", 9);
constexpr size_t kRsaOctetsMin = 256, kCurveOctetsMin = 32;
// md2, md4, md5 and sha1WithRSAEncryption: 1.2.840.113549.1.1.2 to .5
constexpr std::string_view kRsaSignature("\x2A\x86\x48\x86\xF7\x0D\x01\x01", 8);
constexpr std::string_view kEcdsaWithSha1("\x2A\x86\x48\xCE\x3D\x04\x01", 7);

bool is_weak(std::string_view algorithm) {
  if (algorithm == kEcdsaWithSha1) return true;
  return algorithm.size() == kRsaSignature.size() + 1 && algorithm.starts_with(kRsaSignature) &&
         algorithm.back() >= 2 && algorithm.back() <= 5;
}

// Of the octets of a subjectPublicKey; what cannot be read counts as weak.
bool is_weak_key(std::string_view type, Bytes key) {
  Reader reader(key);
  reader.take(1);  // bits unused in the last octet
  if (type == kEcPublicKey) {
    constexpr uint32_t kUncompressed = 4;  // both coordinates follow, otherwise one (RFC 5480 2.2)
    const size_t coordinates = reader.number(1) == kUncompressed ? 2 : 1;
    return reader.failed() || reader.rest().size() / coordinates < kCurveOctetsMin;
  }
  if (type != kRsaKey && type != kRsaPssKey) return false;  // Edwards curves
  const auto numbers = next_of(reader, Tag::sequence);
  if (!numbers) return true;
  Reader numbers_reader(*numbers);
  const auto modulus = next_of(numbers_reader, Tag::integer);
  if (!modulus) return true;
  const std::string_view octets = as_text(*modulus);
  return octets.size() - std::min(octets.find_first_not_of('\0'), octets.size()) < kRsaOctetsMin;
}

void read_names(Bytes value, Certificate& into) {
  Reader outer(value);
  const auto names = next_of(outer, Tag::sequence);
  if (!names) return;
  for (Reader reader(*names); !reader.empty();) {
    const Element element = next_element(reader);
    if (reader.failed()) return;
    const std::string_view text = as_text(element.content);
    if (element.tag == Tag::dns_name) {
      std::string& name = into.dns_names.emplace_back(text);
      std::ranges::transform(name, name.begin(), ascii_lower);
    } else if (element.tag == Tag::ip_address && (text.size() == 4 || text.size() == 16)) {
      into.addresses.emplace_back(text);
    }
  }
}

void read_extensions(Bytes content, Certificate& into) {
  Reader outer(content);
  const auto list = next_of(outer, Tag::sequence);
  if (!list) return;
  for (Reader reader(*list); !reader.empty();) {
    const auto one = next_of(reader, Tag::sequence);
    if (!one) return;
    Reader extension(*one);
    const auto id = next_of(extension, Tag::object_identifier);
    next_of(extension, Tag::boolean);  // critical
    const auto value = next_of(extension, Tag::octet_string);
    if (id && value && as_text(*id) == kSubjectAltName) read_names(*value, into);
  }
}

std::optional<std::string> address_octets(const std::string& name) {
  char octets[16];
  if (inet_pton(AF_INET, name.c_str(), octets) == 1) return std::string(octets, 4);
  if (inet_pton(AF_INET6, name.c_str(), octets) == 1) return std::string(octets, 16);
  return std::nullopt;
}

}  // namespace

Result<Certificate> read_certificate(Bytes der) {
  const auto damaged = [] { return fail("the certificate is not well-formed DER"); };
  Reader outer(der);
  const auto certificate = next_of(outer, Tag::sequence);
  if (!certificate) return damaged();
  Reader parts(*certificate);
  const auto signed_part = next_of(parts, Tag::sequence);
  const auto algorithm = next_of(parts, Tag::sequence);
  if (!signed_part || !algorithm) return damaged();

  Certificate result;
  Reader algorithm_reader(*algorithm);
  const auto signature = next_of(algorithm_reader, Tag::object_identifier);
  if (!signature) return damaged();
  result.weak_signature = is_weak(as_text(*signature));

  Reader fields(*signed_part);
  next_of(fields, Tag::version);
  if (!skip(fields, 2)) return damaged();  // serial number, signature algorithm
  const auto issuer = next_of(fields, Tag::sequence);
  const auto validity = next_of(fields, Tag::sequence);
  if (!validity) return damaged();
  Reader times(*validity);
  const auto begin = time_of(next_element(times)), end = time_of(next_element(times));
  if (!begin || !end) return damaged();
  result.not_before_s = *begin;
  result.not_after_s = *end;
  const auto subject = next_of(fields, Tag::sequence);
  if (!issuer || !subject) return damaged();
  result.self_issued = as_text(*issuer) == as_text(*subject);
  const auto key = next_of(fields, Tag::sequence);
  if (!key) return damaged();
  Reader key_reader(*key);
  const auto key_algorithm = next_of(key_reader, Tag::sequence);
  if (!key_algorithm) return damaged();
  Reader key_algorithm_reader(*key_algorithm);
  const auto key_type = next_of(key_algorithm_reader, Tag::object_identifier);
  if (!key_type) return damaged();
  result.is_ecdsa = as_text(*key_type) == kEcPublicKey;
  const auto public_key = next_of(key_reader, Tag::bit_string);
  if (!public_key) return damaged();
  result.weak_key = is_weak_key(as_text(*key_type), *public_key);
  while (!fields.empty()) {
    const Element element = next_element(fields);
    if (fields.failed()) return damaged();
    if (element.tag == Tag::extensions) read_extensions(element.content, result);
  }
  return result;
}

std::string fingerprint(Bytes der) {
  std::array<byte, WC_SHA256_DIGEST_SIZE> digest;
  RINGMTA_ASSERT(wc_Sha256Hash(reinterpret_cast<const byte*>(der.data()),
                               static_cast<word32>(der.size()), digest.data()) == 0);
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const byte octet : digest) {
    text.push_back(kDigits[octet >> 4]);
    text.push_back(kDigits[octet & 15]);
  }
  return text;
}

bool dns_name_matches(std::string_view pattern, std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  if (pattern.empty() || name.empty()) return false;
  if (!pattern.starts_with("*.")) return equals_ignoring_case(pattern, name);
  const std::string_view parent = pattern.substr(2);
  const size_t dot = name.find('.');
  if (dot == 0 || dot == std::string_view::npos || parent.find('.') == std::string_view::npos) {
    return false;
  }
  return parent.find('*') == std::string_view::npos &&
         equals_ignoring_case(name.substr(dot + 1), parent);
}

bool is_for(const Certificate& certificate, std::string_view name) {
  if (const auto address = address_octets(std::string(name))) {
    return std::ranges::find(certificate.addresses, *address) != certificate.addresses.end();
  }
  return std::ranges::any_of(certificate.dns_names, [&](const std::string& pattern) {
    return dns_name_matches(pattern, name);
  });
}

}  // namespace ringmta::tls
