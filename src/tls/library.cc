// SPDX-License-Identifier: GPL-3.0-or-later
#include "library.h"

#include <fmt/format.h>
#include <wolfssl/error-ssl.h>
#include <wolfssl/version.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/chacha.h>
#include <wolfssl/wolfcrypt/curve25519.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/memory.h>
#include <wolfssl/wolfcrypt/poly1305.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/sha256.h>
#include <wolfssl/wolfcrypt/sha512.h>

#include <array>

#include "context_impl.h"
#include "ringmta/base/assert.h"
#include "ringmta/tls/context.h"

namespace ringmta::tls {

namespace {
// Before anything is allocated. Keys, secrets of sessions and plaintext are in what the library
// allocates, so no core dump has any of it. (dkim/key.cc sets the same.)
const bool kHidden = wolfSSL_SetAllocators(hidden_allocate, hidden_free, hidden_resize) == 0;

// The library looks at the first use of each algorithm which code the processor can run, without
// regard to threads. So each is used once before there are any.
bool choose_code() {
  const std::array<byte, 32> key{1};
  std::array<byte, CURVE25519_KEYSIZE> point{};
  std::array<byte, CHACHA_IV_BYTES> iv{};
  wc_Sha256 sha224, sha256;
  wc_Sha512 sha384, sha512;
  bool good = wc_InitSha224(&sha224) == 0 && wc_InitSha256(&sha256) == 0 &&
              wc_InitSha384(&sha384) == 0 && wc_InitSha512(&sha512) == 0;
  Aes aes;
  ChaCha stream;
  Poly1305 poly;
  good = good && wc_AesInit(&aes, nullptr, INVALID_DEVID) == 0 &&
         wc_AesGcmSetKey(&aes, key.data(), key.size()) == 0 &&
         wc_Chacha_SetKey(&stream, key.data(), key.size()) == 0 &&
         wc_Chacha_SetIV(&stream, iv.data(), 0) == 0 &&
         wc_Chacha_Process(&stream, point.data(), key.data(), key.size()) == 0 &&
         wc_Poly1305SetKey(&poly, key.data(), key.size()) == 0;
  std::array<byte, CURVE25519_KEYSIZE> scalar{};
  scalar[31] = 0x40;
  good = good && wc_curve25519_make_pub(CURVE25519_KEYSIZE, point.data(), CURVE25519_KEYSIZE,
                                        scalar.data()) == 0;
  WC_RNG random;
  good = good && wc_InitRng(&random) == 0 && wc_FreeRng(&random) == 0;
  wc_AesFree(&aes);
  return good;
}
}  // namespace

void start_library() {
  static const bool started = kHidden && wolfSSL_Init() == WOLFSSL_SUCCESS && choose_code();
  RINGMTA_ASSERT(started);
}

RecordMemory new_record() {
  auto* memory = static_cast<std::byte*>(hidden_allocate(kRecordSizeMax));
  RINGMTA_ASSERT(memory != nullptr);
  return RecordMemory(memory);
}

std::string library_name() { return std::string("wolfSSL ") + wolfSSL_lib_version(); }

std::string library_warning() {
#if defined(RINGMTA_WOLFSSL_PACKAGED)
  return fmt::format(
      "this program was built with the distribution's {}, which does not use what the CPU has for "
      "cryptography: signing (DKIM, TLS handshakes) is about four times slower than it could be",
      library_name());
#else
  return {};
#endif
}

std::string words_for(int code) {
  switch (code) {
    case ASN_AFTER_DATE_E:
      return "its certificate has expired";
    case ASN_BEFORE_DATE_E:
      return "its certificate is not valid yet";
    case ASN_NO_SIGNER_E:
      return "its certificate was not issued by a trusted authority";
    case ASN_SELF_SIGNED_E:
      return "its certificate is self-signed and not trusted";
    case ASN_SIG_CONFIRM_E:
    case ASN_SIG_OID_E:
      return "the signature of its certificate is wrong or of an unknown kind";
    case ASN_SIG_KEY_E:
    case RSA_KEY_SIZE_E:
    case ECC_KEY_SIZE_E:
      return "the key of its certificate is too weak";
    case DH_KEY_SIZE_E:
      return "its key exchange (Diffie-Hellman) is too weak";
    case NOT_CA_ERROR:
      return "an issuer of its certificate is not marked as one (basicConstraints, keyUsage)";
    case KEYUSE_SIGNATURE_E:
    case KEYUSE_ENCIPHER_E:
      return "its certificate is not for TLS (its keyUsage lacks what the handshake needs)";
    case EXTKEYUSE_AUTH_E:
      return "its certificate is for another purpose (a server's needs serverAuth in its "
             "extendedKeyUsage, a client's clientAuth)";
    case NO_PEER_CERT:
      return "it showed no certificate";
    case MATCH_SUITE_ERROR:
      return "it and we have no cipher suite in common";
    case VERSION_ERROR:
      return "it and we have no TLS version in common (TLS 1.2 and 1.3 are spoken here)";
    case UNKNOWN_RECORD_TYPE:
      return "it does not speak TLS here";
    default:
      break;
  }
  const char* text = wolfSSL_ERR_reason_error_string(static_cast<unsigned long>(code));
  return fmt::format("{} ({})", text == nullptr ? "unknown error" : text, code);
}

std::string_view alert_name(int code) {
  switch (code) {
    case 0:
      return "close_notify";
    case 10:
      return "unexpected_message";
    case 20:
      return "bad_record_mac";
    case 22:
      return "record_overflow";
    case 40:
      return "handshake_failure";
    case 42:
      return "bad_certificate";
    case 43:
      return "unsupported_certificate";
    case 44:
      return "certificate_revoked";
    case 45:
      return "certificate_expired";
    case 46:
      return "certificate_unknown";
    case 47:
      return "illegal_parameter";
    case 48:
      return "unknown_ca";
    case 49:
      return "access_denied";
    case 50:
      return "decode_error";
    case 51:
      return "decrypt_error";
    case 70:
      return "protocol_version";
    case 71:
      return "insufficient_security";
    case 80:
      return "internal_error";
    case 86:
      return "inappropriate_fallback";
    case 90:
      return "user_canceled";
    case 109:
      return "missing_extension";
    case 110:
      return "unsupported_extension";
    case 112:
      return "unrecognized_name";
    case 113:
      return "bad_certificate_status_response";
    case 115:
      return "unknown_psk_identity";
    case 116:
      return "certificate_required";
    case 120:
      return "no_application_protocol";
    default:
      return "unknown alert";
  }
}

}  // namespace ringmta::tls
