// SPDX-License-Identifier: GPL-3.0-or-later
// HMAC begins by hashing one block made of the key. Of the many HMACs of PBKDF2 (RFC 8018 5.2) all
// have the same key, so the two hash states behind that block are made once and copied: two blocks
// per iteration instead of four.
#include "ringmta/sasl/scram.h"

#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include "ringmta/base/assert.h"
#include "ringmta/base/wipe.h"

namespace ringmta::sasl {
namespace {

class Hash final {
 public:
  Hash() { RINGMTA_ASSERT(wc_InitSha256(&state_) == 0); }
  Hash(const Hash& other) { RINGMTA_ASSERT(wc_Sha256Copy(other.input(), &state_) == 0); }
  Hash& operator=(const Hash&) = delete;
  ~Hash() {
    wc_Sha256Free(&state_);
    wipe(&state_, sizeof state_);
  }
  void add(std::string_view octets) {
    RINGMTA_ASSERT(wc_Sha256Update(&state_, reinterpret_cast<const byte*>(octets.data()),
                                   static_cast<word32>(octets.size())) == 0);
  }
  ScramKey finish() {
    ScramKey digest;
    RINGMTA_ASSERT(wc_Sha256Final(&state_, reinterpret_cast<byte*>(digest.data())) == 0);
    return digest;
  }

 private:
  wc_Sha256* input() const { return const_cast<wc_Sha256*>(&state_); }  // the library's prototype
  wc_Sha256 state_{};
};

// RFC 2104, with the key's share of the work done.
class Mac final {
 public:
  explicit Mac(std::string_view key) {
    std::array<char, WC_SHA256_BLOCK_SIZE> block{};
    if (key.size() > block.size()) {
      Hash hash;
      hash.add(key);
      const ScramKey digest = hash.finish();
      std::memcpy(block.data(), digest.data(), digest.size());
    } else if (!key.empty()) {
      std::memcpy(block.data(), key.data(), key.size());
    }
    for (char& octet : block) octet = static_cast<char>(octet ^ 0x36);
    inner_.add({block.data(), block.size()});
    for (char& octet : block) octet = static_cast<char>(octet ^ 0x36 ^ 0x5C);
    outer_.add({block.data(), block.size()});
    wipe(block);
  }
  ScramKey of(std::string_view first, std::string_view second = {}) const {
    Hash inner(inner_), outer(outer_);
    inner.add(first);
    inner.add(second);
    ScramKey digest = inner.finish();
    outer.add(as_text(digest));
    return outer.finish();
  }

 private:
  Hash inner_, outer_;
};

}  // namespace

ScramKeys::~ScramKeys() {
  wipe(client);
  wipe(server);
}

ScramKeys derive_scram_keys(std::string_view password, std::string_view salt, uint32_t iterations) {
  RINGMTA_ASSERT(iterations > 0);
  const Mac hmac(password);
  constexpr std::string_view kFirstBlock("\0\0\0\1", 4);  // one block is all of a SHA-256
  ScramKey last = hmac.of(salt, kFirstBlock);
  ScramKey salted = last;
  for (uint32_t i = 1; i < iterations; ++i) {
    last = hmac.of(as_text(last));
    for (size_t k = 0; k < salted.size(); ++k) salted[k] ^= last[k];
  }
  const Mac by_salted(as_text(salted));
  ScramKeys keys;
  keys.client = by_salted.of("Client Key");
  keys.server = by_salted.of("Server Key");
  wipe(last);
  wipe(salted);
  return keys;
}

ScramKey scram_stored_key(const ScramKey& client_key) {
  Hash hash;
  hash.add(as_text(client_key));
  return hash.finish();
}

ScramKey scram_mac(const ScramKey& key, std::string_view message) {
  return Mac(as_text(key)).of(message);
}

ScramKey scram_proof(const ScramKey& client_key, const ScramKey& client_signature) {
  ScramKey proof;
  for (size_t i = 0; i < proof.size(); ++i) proof[i] = client_key[i] ^ client_signature[i];
  return proof;
}

}  // namespace ringmta::sasl
