// SPDX-License-Identifier: GPL-3.0-or-later
// RSA signing by OpenSSL's libcrypto, for the key sizes and processors where it beats wolfSSL.
//
// Signatures per second of one core (AMD EPYC with AVX-512 IFMA, libcrypto 3.0, wolfSSL 5.7 with
// its assembly; bench_dkim measures both):
//
//   RSA            1024     2048     3072   4096
//   wolfSSL        2,740    2,030    619    272
//   libcrypto     12,300    4,120    562    247
//   the same
//   without IFMA  12,300    1,250
//
// So libcrypto is taken for 1024 bits, and for 2048 where the processor has IFMA; everything else
// stays with wolfSSL. The rule is fixed, not measured at start: a relay should not sign at another
// speed after each restart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "ringmta/dkim/content_hasher.h"

namespace ringmta::dkim {

class LibcryptoRsa final {
 public:
  // Null where it would not be faster, or is not built in (-Dlibcrypto=disabled).
  static std::unique_ptr<LibcryptoRsa> create(uint32_t bits, std::span<const std::byte> der);
  ~LibcryptoRsa();
  LibcryptoRsa(const LibcryptoRsa&) = delete;
  LibcryptoRsa& operator=(const LibcryptoRsa&) = delete;

  // RSASSA-PKCS1-v1_5 of a SHA-256 digest. False: libcrypto refused.
  bool sign(const Digest& digest, std::span<std::byte> into);

 private:
  LibcryptoRsa() = default;
  void* context_ = nullptr;  // EVP_PKEY_CTX, which keeps the key
};

}  // namespace ringmta::dkim
