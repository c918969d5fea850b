// SPDX-License-Identifier: GPL-3.0-or-later
// What a Key is made of.
#pragma once

#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/rsa.h>

#include <memory>
#include <string_view>

#include "ringmta/base/assert.h"
#include "ringmta/base/hidden_memory.h"
#include "ringmta/dkim/key.h"
#include "rsa_libcrypto.h"

namespace ringmta::dkim {

struct Key::Impl final : Hidden {
  KeyType type = KeyType::rsa;
  bool has_rng = false;
  bool has_key = false;
  WC_RNG rng{};                             // blinds RSA against timing
  std::unique_ptr<LibcryptoRsa> libcrypto;  // signs in place of `rsa`; null: `rsa` is as fast
  union {
    RsaKey rsa;
    ed25519_key ed25519;
  };

  Impl() {}
  ~Impl();
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // Random numbers and an empty key.
  static Result<std::unique_ptr<Impl>> create(KeyType type);
  Status read_der(std::span<const std::byte> der);
  std::vector<std::byte> private_der() const;  // PKCS #8
  void choose_library();                       // when the key is there
};

// `what` + ": " + the library's words for `code`.
std::unexpected<Error> fail_library(std::string_view what, int code);

}  // namespace ringmta::dkim
