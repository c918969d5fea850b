// SPDX-License-Identifier: GPL-3.0-or-later
// The only file that sees OpenSSL's headers: their names and wolfSSL's do not go together.
#include "rsa_libcrypto.h"

#ifdef RINGMTA_LIBCRYPTO
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "ringmta/base/hidden_memory.h"
#endif

namespace ringmta::dkim {

#ifdef RINGMTA_LIBCRYPTO

namespace {

// Keys are in what libcrypto allocates. (False: somebody has used it already; then they can be
// seen.)
[[maybe_unused]] const bool kHidden =
    CRYPTO_set_mem_functions(
        [](size_t octets, const char*, int) { return hidden_allocate(octets); },
        [](void* block, size_t octets, const char*, int) { return hidden_resize(block, octets); },
        [](void* block, const char*, int) { hidden_free(block); }) == 1;

bool is_faster(uint32_t bits) {
#if defined(__x86_64__)
  if (bits == 1024) return true;
  return bits == 2048 && __builtin_cpu_supports("avx512ifma") != 0 &&
         __builtin_cpu_supports("avx512vl") != 0 && __builtin_cpu_supports("avx512dq") != 0;
#else
  return bits == 0;  // not measured
#endif
}

}  // namespace

std::unique_ptr<LibcryptoRsa> LibcryptoRsa::create(uint32_t bits, std::span<const std::byte> der) {
  if (!is_faster(bits)) return nullptr;
  const auto* octets = reinterpret_cast<const unsigned char*>(der.data());
  EVP_PKEY* key = d2i_AutoPrivateKey(nullptr, &octets, static_cast<long>(der.size()));
  if (key == nullptr) return nullptr;
  std::unique_ptr<LibcryptoRsa> made(new LibcryptoRsa);
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new(key, nullptr);
  EVP_PKEY_free(key);  // the context holds it
  made->context_ = context;
  const bool ready = context != nullptr && EVP_PKEY_sign_init(context) == 1 &&
                     EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1 &&
                     EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) == 1;
  return ready ? std::move(made) : nullptr;
}

LibcryptoRsa::~LibcryptoRsa() { EVP_PKEY_CTX_free(static_cast<EVP_PKEY_CTX*>(context_)); }

bool LibcryptoRsa::sign(const Digest& digest, std::span<std::byte> into) {
  size_t size = into.size();
  return EVP_PKEY_sign(static_cast<EVP_PKEY_CTX*>(context_),
                       reinterpret_cast<unsigned char*>(into.data()), &size,
                       reinterpret_cast<const unsigned char*>(digest.data()), digest.size()) == 1 &&
         size == into.size();
}

#else

std::unique_ptr<LibcryptoRsa> LibcryptoRsa::create(uint32_t, std::span<const std::byte>) {
  return nullptr;
}
LibcryptoRsa::~LibcryptoRsa() = default;
bool LibcryptoRsa::sign(const Digest&, std::span<std::byte>) { return false; }

#endif

}  // namespace ringmta::dkim
