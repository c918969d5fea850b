// SPDX-License-Identifier: GPL-3.0-or-later
#include "pem.h"

#include <fmt/format.h>

#include "base64.h"

namespace ringmta::dkim {
namespace {

constexpr std::string_view kBegin = "-----BEGIN ";
constexpr std::string_view kDashes = "-----";
constexpr size_t kLineSize = 64;  // RFC 7468 2

}  // namespace

SecretOctets::~SecretOctets() {
  volatile std::byte* octets = octets_.data();
  for (size_t i = 0; i < octets_.size(); ++i) octets[i] = std::byte{0};
}

Result<SecretOctets> private_key_of_pem(std::string_view pem) {
  constexpr std::string_view kAdvice =
      "a DKIM key is a PEM file with a line '-----BEGIN PRIVATE KEY-----' or "
      "'-----BEGIN RSA PRIVATE KEY-----'";
  for (size_t at = pem.find(kBegin); at != std::string_view::npos; at = pem.find(kBegin, at)) {
    at += kBegin.size();
    const size_t label_end = pem.find(kDashes, at);
    if (label_end == std::string_view::npos) break;
    const std::string_view label = pem.substr(at, label_end - at);
    if (!label.ends_with("PRIVATE KEY")) continue;
    const std::string_view rest = pem.substr(label_end + kDashes.size());
    const std::string_view text = rest.substr(0, rest.find(fmt::format("-----END {}-----", label)));
    if (text.size() == rest.size()) {
      return fail(fmt::format("the key has no line '-----END {}-----': is the file whole?", label));
    }
    if (label == "ENCRYPTED PRIVATE KEY" || text.find("ENCRYPTED") != std::string_view::npos) {
      return fail(
          "the key is encrypted with a pass phrase; the relay needs it in the clear: openssl pkey "
          "-in KEY -out NEW (and keep NEW readable for the relay alone)");
    }
    if (label != "PRIVATE KEY" && label != "RSA PRIVATE KEY") {
      return fail(fmt::format("the key is an '{}'; DKIM knows RSA and Ed25519", label));
    }
    auto octets = base64_octets(text);
    if (!octets) return fail("the key's text is not base64: is the file damaged?");
    return SecretOctets(std::move(*octets));
  }
  return fail(fmt::format("there is no private key in it; {}", kAdvice));
}

std::string pem_of(std::string_view label, std::span<const std::byte> der) {
  std::string base64;
  append_base64(der, base64);
  std::string pem = fmt::format("-----BEGIN {}-----\n", label);
  for (size_t at = 0; at < base64.size(); at += kLineSize) {
    pem.append(base64, at, kLineSize).push_back('\n');
  }
  pem.append(fmt::format("-----END {}-----\n", label));
  return pem;
}

}  // namespace ringmta::dkim
