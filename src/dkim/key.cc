// SPDX-License-Identifier: GPL-3.0-or-later
// The private-key operations, by wolfSSL. RSA goes through the library's own code for each size,
// which uses BMI2 and ADX where the CPU has them; where libcrypto is faster, it signs
// (rsa_libcrypto.h) and wolfSSL still verifies.
#include "ringmta/dkim/key.h"

#include <fmt/format.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/memory.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/rsa.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base64.h"
#include "key_impl.h"
#include "pem.h"
#include "ringmta/base/wipe_stack.h"

namespace ringmta::dkim {
namespace {

// DigestInfo of a SHA-256 digest but for the digest (RFC 8017 9.2, note 1).
constexpr std::array<byte, 19> kDigestInfo = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60,
                                              0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
                                              0x01, 0x05, 0x00, 0x04, 0x20};
using DigestInfo = std::array<byte, kDigestInfo.size() + sizeof(Digest)>;

// As tls/library.cc does, for programs that only sign.
const bool kHidden = wolfSSL_SetAllocators(hidden_allocate, hidden_free, hidden_resize) == 0;

DigestInfo digest_info(const Digest& digest) {
  DigestInfo info;
  std::memcpy(info.data(), kDigestInfo.data(), kDigestInfo.size());
  std::memcpy(info.data() + kDigestInfo.size(), digest.data(), digest.size());
  return info;
}

}  // namespace

std::unexpected<Error> fail_library(std::string_view what, int code) {
  return fail(fmt::format("{}: {}", what, wc_GetErrorString(code)));
}

Result<std::unique_ptr<Key::Impl>> Key::Impl::create(KeyType type) {
  RINGMTA_ASSERT(kHidden);
  auto impl = std::make_unique<Impl>();
  impl->type = type;
  int code = wc_InitRng(&impl->rng);
  if (code != 0) return fail_library("random numbers for a DKIM key", code);
  impl->has_rng = true;
  code =
      type == KeyType::rsa ? wc_InitRsaKey(&impl->rsa, nullptr) : wc_ed25519_init(&impl->ed25519);
  if (code != 0) return fail_library("memory for a DKIM key", code);
  impl->has_key = true;
  if (type == KeyType::rsa) wc_RsaSetRNG(&impl->rsa, &impl->rng);
  return impl;
}

Key::Impl::~Impl() {
  // The library overwrites what it frees.
  if (has_key && type == KeyType::rsa) wc_FreeRsaKey(&rsa);
  if (has_key && type == KeyType::ed25519) wc_ed25519_free(&ed25519);
  if (has_rng) wc_FreeRng(&rng);
}

Key::Key(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Key::Key(Key&&) noexcept = default;
Key& Key::operator=(Key&&) noexcept = default;
Key::~Key() = default;

KeyType Key::type() const { return impl_->type; }

uint32_t Key::bits() const {
  return impl_->type == KeyType::rsa ? static_cast<uint32_t>(mp_count_bits(&impl_->rsa.n)) : 256;
}

size_t Key::signature_size() const {
  return impl_->type == KeyType::rsa ? static_cast<size_t>(wc_RsaEncryptSize(&impl_->rsa))
                                     : ED25519_SIG_SIZE;
}

uint32_t Key::signing_time_us() const {
  if (impl_->type == KeyType::ed25519) return 15;
  const uint32_t size = bits();
  if (size <= 1024) return impl_->libcrypto != nullptr ? 85 : 370;
  if (size <= 2048) return impl_->libcrypto != nullptr ? 250 : 500;
  return size <= 3072 ? 1'650 : 3'700;
}

std::string Key::warning() const {
  if (impl_->type == KeyType::ed25519) {
    return "many receivers cannot verify Ed25519 yet: sign with an RSA key as well";
  }
  if (bits() >= kRsaBitsAdvised) return {};
  return fmt::format("an RSA key of {} bits is weak (RFC 8301 advises {} or more)", bits(),
                     kRsaBitsAdvised);
}

Status Key::sign(const Digest& digest, std::span<std::byte> into) {
  RINGMTA_ASSERT(into.size() == signature_size());
  auto* out = reinterpret_cast<byte*>(into.data());
  auto size = static_cast<word32>(into.size());
  if (impl_->type == KeyType::ed25519) {
    const int code =
        wc_ed25519_sign_msg(reinterpret_cast<const byte*>(digest.data()),
                            static_cast<word32>(digest.size()), out, &size, &impl_->ed25519);
    wipe_stack();
    if (code != 0) return fail_library("signing with a DKIM key", code);
    return {};
  }
  if (impl_->libcrypto != nullptr && impl_->libcrypto->sign(digest, into)) return {};
  const DigestInfo info = digest_info(digest);
  const int code = wc_RsaSSL_Sign(info.data(), static_cast<word32>(info.size()), out, size,
                                  &impl_->rsa, &impl_->rng);
  wipe_stack();
  if (code != static_cast<int>(size)) return fail_library("signing with a DKIM key", code);
  return {};
}

bool Key::verify(const Digest& digest, std::span<const std::byte> signature) {
  const auto* octets = reinterpret_cast<const byte*>(signature.data());
  const auto size = static_cast<word32>(signature.size());
  if (impl_->type == KeyType::ed25519) {
    int fine = 0;
    return wc_ed25519_verify_msg(octets, size, reinterpret_cast<const byte*>(digest.data()),
                                 static_cast<word32>(digest.size()), &fine, &impl_->ed25519) == 0 &&
           fine == 1;
  }
  const DigestInfo info = digest_info(digest);
  std::array<byte, kSignatureSizeMax> out;
  const int got = wc_RsaSSL_Verify(octets, size, out.data(), out.size(), &impl_->rsa);
  return got == static_cast<int>(info.size()) && std::equal(info.begin(), info.end(), out.begin());
}

}  // namespace ringmta::dkim
