// SPDX-License-Identifier: GPL-3.0-or-later
// Where keys come from and go to: PEM, generation, DNS record.
#include <fmt/format.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/asn_public.h>

#include <algorithm>

#include "base64.h"
#include "key_impl.h"
#include "pem.h"
#include "ringmta/base/bytes.h"
#include "ringmta/base/wipe_stack.h"

namespace ringmta::dkim {
namespace {

const byte* octets_of(std::span<const std::byte> span) {
  return reinterpret_cast<const byte*>(span.data());
}

// Ed25519 or not? PKCS #8 names the algorithm (RFC 8410 3), PKCS #1 is RSA.
KeyType type_of_der(std::span<const std::byte> der) {
  constexpr std::array<byte, 5> kEd25519 = {0x06, 0x03, 0x2b, 0x65, 0x70};
  const size_t head = std::min<size_t>(der.size(), 24);
  const byte* begin = octets_of(der);
  const auto* found = std::search(begin, begin + head, kEd25519.begin(), kEd25519.end());
  return found == begin + head ? KeyType::rsa : KeyType::ed25519;
}

// Signs and verifies once: a key whose numbers do not fit together is found here, not in the mail.
Status try_out(Key& key) {
  Digest digest{};
  std::vector<std::byte> signature(key.signature_size());
  if (auto status = key.sign(digest, signature); !status) return status;
  if (!key.verify(digest, signature)) {
    return fail("the key signs, but its signature does not verify: the file is damaged");
  }
  return {};
}

}  // namespace

Status Key::Impl::read_der(std::span<const std::byte> der) {
  word32 index = 0;
  const auto size = static_cast<word32>(der.size());
  if (type == KeyType::rsa) {
    const int code = wc_RsaPrivateKeyDecode(octets_of(der), &index, &rsa, size);
    if (code != 0) return fail_library("the key cannot be read as RSA", code);
    const int bits = mp_count_bits(&rsa.n);
    if (bits < static_cast<int>(kRsaBitsMin) || bits > static_cast<int>(kRsaBitsMax)) {
      return fail(fmt::format("the key has {} bits; RSA keys for DKIM have {} to {}", bits,
                              kRsaBitsMin, kRsaBitsMax));
    }
    return {};
  }
  int code = wc_Ed25519PrivateKeyDecode(octets_of(der), &index, &ed25519, size);
  if (code != 0) return fail_library("the key cannot be read as Ed25519", code);
  // A file may hold the private half alone; signing needs both.
  byte public_key[ED25519_PUB_KEY_SIZE];
  code = wc_ed25519_make_public(&ed25519, public_key, sizeof public_key);
  if (code == 0) code = wc_ed25519_import_public(public_key, sizeof public_key, &ed25519);
  if (code != 0) return fail_library("making the public key of an Ed25519 key", code);
  return {};
}

Result<Key> Key::from_pem(std::string_view pem) {
  auto der = private_key_of_pem(pem);
  if (!der) return std::unexpected(der.error());
  auto impl = Impl::create(type_of_der(der->view()));
  if (!impl) return std::unexpected(impl.error());
  if (auto status = (*impl)->read_der(der->view()); !status) {
    return std::unexpected(status.error());
  }
  auto key = tried_out(std::move(*impl));
  wipe_stack();
  return key;
}

Result<Key> Key::generate(KeyType type, uint32_t rsa_bits) {
  if (type == KeyType::rsa && (rsa_bits < kRsaBitsMin || rsa_bits > kRsaBitsMax)) {
    return fail(fmt::format("RSA keys for DKIM have {} to {} bits", kRsaBitsMin, kRsaBitsMax));
  }
  // The library makes both primes of whole octets, and would make a shorter key without a word.
  constexpr uint32_t kStep = 16;
  if (type == KeyType::rsa && rsa_bits % kStep != 0) {
    const uint32_t below = rsa_bits / kStep * kStep;
    return fail(fmt::format("RSA keys have a multiple of {} bits: choose {} or {} instead of {}",
                            kStep, below, below + kStep, rsa_bits));
  }
  auto impl = Impl::create(type);
  if (!impl) return std::unexpected(impl.error());
  Impl& my = **impl;
  const int code =
      type == KeyType::rsa
          ? wc_MakeRsaKey(&my.rsa, static_cast<int>(rsa_bits), WC_RSA_EXPONENT, &my.rng)
          : wc_ed25519_make_key(&my.rng, ED25519_KEY_SIZE, &my.ed25519);
  if (code != 0) return fail_library("making a DKIM key", code);
  return tried_out(std::move(*impl));
}

// By wolfSSL first: libcrypto makes good for numbers that do not fit together, slowly, each time.
Result<Key> Key::tried_out(std::unique_ptr<Impl> impl) {
  Impl& my = *impl;
  Key key(std::move(impl));
  if (auto status = try_out(key); !status) return std::unexpected(status.error());
  my.choose_library();
  if (my.libcrypto == nullptr) return key;
  if (auto status = try_out(key); !status) return std::unexpected(status.error());
  return key;
}

std::vector<std::byte> Key::Impl::private_der() const {
  // The library takes keys to be read as if it changed them.
  auto& mutable_rsa = const_cast<RsaKey&>(rsa);
  auto& mutable_ed25519 = const_cast<ed25519_key&>(ed25519);
  std::vector<std::byte> der(8192);
  auto* out = reinterpret_cast<byte*>(der.data());
  auto size = static_cast<word32>(der.size());
  if (type == KeyType::ed25519) {
    const int got = wc_Ed25519PrivateKeyToDer(&mutable_ed25519, out, size);
    RINGMTA_ASSERT(got > 0);
    der.resize(static_cast<size_t>(got));
    return der;
  }
  std::vector<std::byte> traditional(8192);
  auto* inner = reinterpret_cast<byte*>(traditional.data());
  const int got = wc_RsaKeyToDer(&mutable_rsa, inner, static_cast<word32>(traditional.size()));
  RINGMTA_ASSERT(got > 0);
  const int whole =
      wc_CreatePKCS8Key(out, &size, inner, static_cast<word32>(got), RSAk, nullptr, 0);
  RINGMTA_ASSERT(whole > 0);
  der.resize(static_cast<size_t>(whole));
  const SecretOctets overwritten(std::move(traditional));
  return der;
}

void Key::Impl::choose_library() {
  if (type != KeyType::rsa) return;
  const SecretOctets der(private_der());
  libcrypto = LibcryptoRsa::create(static_cast<uint32_t>(mp_count_bits(&rsa.n)), der.view());
}

std::string Key::private_pem() const {
  const SecretOctets der(impl_->private_der());
  return pem_of("PRIVATE KEY", der.view());
}

std::string Key::public_base64() const {
  std::vector<std::byte> octets(2048);
  auto* out = reinterpret_cast<byte*>(octets.data());
  auto size = static_cast<word32>(octets.size());
  if (impl_->type == KeyType::rsa) {
    const int got = wc_RsaKeyToPublicDer(&impl_->rsa, out, size);
    RINGMTA_ASSERT(got > 0);
    size = static_cast<word32>(got);
  } else {
    RINGMTA_ASSERT(wc_ed25519_export_public(&impl_->ed25519, out, &size) == 0);
  }
  octets.resize(size);
  std::string text;
  append_base64(octets, text);
  return text;
}

std::string Key::dns_record() const {
  return fmt::format("v=DKIM1; k={}; p={}", impl_->type == KeyType::rsa ? "rsa" : "ed25519",
                     public_base64());
}

}  // namespace ringmta::dkim
