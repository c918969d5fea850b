// SPDX-License-Identifier: GPL-3.0-or-later
// Certificates, keys and roots out of PEM texts.
#include <fmt/format.h>
#include <wolfssl/wolfcrypt/asn_public.h>

#include <ctime>

#include "context_impl.h"
#include "ringmta/base/wipe_stack.h"

namespace ringmta::tls {
namespace {

constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----";
constexpr std::string_view kEnd = "-----END CERTIFICATE-----";

// The next certificate in `pem` with its lines of dashes, cut off its front; empty: none is left.
std::string_view next_certificate(std::string_view& pem) {
  const size_t begin = pem.find(kBegin);
  if (begin == std::string_view::npos) return {};
  const size_t end = pem.find(kEnd, begin);
  if (end == std::string_view::npos) return {};
  const std::string_view one = pem.substr(begin, end + kEnd.size() - begin);
  pem.remove_prefix(end + kEnd.size());
  return one;
}

const unsigned char* octets_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

Result<std::vector<std::byte>> der_of(std::string_view pem) {
  std::vector<std::byte> der(pem.size());
  const int size = wc_CertPemToDer(octets_of(pem), static_cast<int>(pem.size()),
                                   reinterpret_cast<unsigned char*>(der.data()),
                                   static_cast<int>(der.size()), CERT_TYPE);
  if (size <= 0) return fail("it is not base64 within PEM");
  der.resize(static_cast<size_t>(size));
  return der;
}

}  // namespace

Result<Certificate> first_certificate(const CertificateText& text) {
  std::string_view rest = text.chain_pem;
  const std::string_view pem = next_certificate(rest);
  if (pem.empty()) {
    return fail(fmt::format("{}: there is no certificate in it (a line '{}')", text.name, kBegin));
  }
  auto der = der_of(pem);
  if (!der) return fail(fmt::format("{}: {}", text.name, der.error().message));
  auto certificate = read_certificate(*der);
  if (!certificate) return fail(fmt::format("{}: {}", text.name, certificate.error().message));
  return certificate;
}

std::optional<std::string> concern_about(const CertificateText& text) {
  constexpr std::time_t kSoon_s = 14 * 86'400;
  const auto certificate = first_certificate(text);
  if (!certificate) return certificate.error().message;
  const auto day = [](int64_t second) {
    const std::time_t time = second;
    std::tm fields{};
    gmtime_r(&time, &fields);
    char words[16];
    std::strftime(words, sizeof words, "%Y-%m-%d", &fields);
    return std::string(words);
  };
  const std::time_t now = std::time(nullptr);
  if (certificate->not_after_s < now) {
    return fmt::format("the certificate ended on {}: clients that verify it will not send",
                       day(certificate->not_after_s));
  }
  if (certificate->not_before_s > now) {
    return fmt::format("the certificate is valid from {} on: clients that verify it will not send",
                       day(certificate->not_before_s));
  }
  if (certificate->weak_signature)
    return "the certificate is signed with a broken hash (MD5, SHA-1)";
  if (certificate->dns_names.empty() && certificate->addresses.empty()) {
    return "the certificate has no subjectAltName: clients that verify it will not send";
  }
  if (certificate->not_after_s < now + kSoon_s) {
    return fmt::format("the certificate ends on {}: renew it", day(certificate->not_after_s));
  }
  return std::nullopt;
}

Status use_certificate(WOLFSSL_CTX* context, const CertificateText& text) {
  int code = wolfSSL_CTX_use_certificate_chain_buffer(context, octets_of(text.chain_pem),
                                                      static_cast<long>(text.chain_pem.size()));
  if (code != WOLFSSL_SUCCESS) {
    return fail(fmt::format("{}: the certificate cannot be used: {}", text.name, words_for(code)));
  }
  if (text.key_pem.view().find("ENCRYPTED") != std::string_view::npos) {
    return fail(
        fmt::format("{}: the key is encrypted with a pass phrase; the relay needs it in the "
                    "clear: openssl pkey -in KEY -out NEW",
                    text.name));
  }
  code = wolfSSL_CTX_use_PrivateKey_buffer(context, octets_of(text.key_pem),
                                           static_cast<long>(text.key_pem.size()),
                                           WOLFSSL_FILETYPE_PEM);
  if (code != WOLFSSL_SUCCESS) {
    return fail(fmt::format("{}: the private key cannot be read (RSA or ECDSA in PEM is expected)",
                            text.name));
  }
  code = wolfSSL_CTX_check_private_key(context);
  wipe_stack();
  if (code != WOLFSSL_SUCCESS) {
    return fail(fmt::format("{}: the private key does not belong to the certificate", text.name));
  }
  return {};
}

uint32_t use_roots(WOLFSSL_CTX* context, std::string_view pem) {
  uint32_t count = 0;
  for (std::string_view one = next_certificate(pem); !one.empty(); one = next_certificate(pem)) {
    count += wolfSSL_CTX_load_verify_buffer(context, octets_of(one), static_cast<long>(one.size()),
                                            WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS;
  }
  return count;
}

}  // namespace ringmta::tls
