// SPDX-License-Identifier: GPL-3.0-or-later
// Private keys for DKIM: RSA of 1024 to 4096 bits (RFC 6376, RFC 8301) and Ed25519 (RFC 8463), with
// their DNS side: the record to publish, and whether a published record belongs to the key.
//
// A key signs on one thread at a time: each shard reads its own. The memory of secrets is
// overwritten when it is given up, and nothing in here ever prints one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "ringmta/base/result.h"
#include "ringmta/dkim/content_hasher.h"

namespace ringmta::dkim {

enum class KeyType : uint8_t { rsa, ed25519 };

// Where the identity of a key's signatures (i=) is: in its domain (d=), which it also is when there
// is none, or below it. A record can forbid the latter.
enum class Identity : uint8_t { of_domain, below };

class Key final {
 public:
  static constexpr uint32_t kRsaBitsMin = 1024;  // RFC 8301 3.2
  static constexpr uint32_t kRsaBitsMax = 4096;
  static constexpr uint32_t kRsaBitsAdvised = 2048;
  static constexpr size_t kSignatureSizeMax = kRsaBitsMax / 8;

  // The first key of a PEM text: "RSA PRIVATE KEY" (PKCS #1) or "PRIVATE KEY" (PKCS #8), not
  // encrypted. The key has signed and verified once when it is returned.
  static Result<Key> from_pem(std::string_view pem);
  static Result<Key> generate(KeyType type, uint32_t rsa_bits = kRsaBitsAdvised);

  Key(Key&&) noexcept;
  Key& operator=(Key&&) noexcept;
  ~Key();

  KeyType type() const;
  uint32_t bits() const;          // of the modulus; 256 for Ed25519
  std::string warning() const;    // what an operator should know about its strength; else empty
  size_t signature_size() const;  // octets
  // About what sign() takes of a current core, always the same number for a key: what work is cut
  // into slices by.
  uint32_t signing_time_us() const;

  // The signature of a SHA-256 digest: RSASSA-PKCS1-v1_5, or PureEdDSA over the digest (RFC 8463
  // 3). `into` has signature_size() octets.
  Status sign(const Digest& digest, std::span<std::byte> into);
  bool verify(const Digest& digest, std::span<const std::byte> signature);

  std::string private_pem() const;    // PKCS #8; a secret
  std::string public_base64() const;  // as in p=
  std::string dns_record() const;     // "v=DKIM1; k=rsa; p=..."
  // The text of a published TXT record (its strings joined): is it this key's, not revoked, and one
  // that verifiers take for such signatures?
  Status check_record(std::string_view record, Identity identity = Identity::of_domain) const;

 private:
  struct Impl;
  explicit Key(std::unique_ptr<Impl> impl);
  static Result<Key> tried_out(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Does a record ask verifiers to treat its signatures as a trial (t=y)?
bool is_testing(std::string_view record);

}  // namespace ringmta::dkim
