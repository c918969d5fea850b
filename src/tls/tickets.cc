// SPDX-License-Identifier: GPL-3.0-or-later
// Sealing of session tickets: AES-256-GCM. The key's name and the server name that the client asked
// for are associated data, so a ticket given under one name does not open under another: "the
// server MUST NOT accept the request to resume the session if the server_name extension contains a
// different name" (RFC 6066 3), whose certificate the client would never see. It gets a full
// handshake.
#include "ringmta/tls/tickets.h"

#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/random.h>

#include <algorithm>
#include <cstring>

#include "library.h"
#include "ringmta/base/assert.h"
#include "ticket_sealer.h"
#include "transport.h"

namespace ringmta::tls {
namespace {

constexpr word32 kNonceSize = 12;
constexpr word32 kTagSize = 16;

// What a ticket is bound to.
struct Binding {
  std::array<byte, sizeof TicketKeys::Key::name> key_name;
  std::array<byte, WC_SHA256_DIGEST_SIZE> server_name;  // hashed
};
static_assert(sizeof(Binding) == 48);

bool fill(Binding& binding, const byte* key_name, std::string_view server_name) {
  std::memcpy(binding.key_name.data(), key_name, binding.key_name.size());
  return wc_Sha256Hash(reinterpret_cast<const byte*>(server_name.data()),
                       static_cast<word32>(server_name.size()), binding.server_name.data()) == 0;
}

const byte* octets_of(const std::byte* from) { return reinterpret_cast<const byte*>(from); }

}  // namespace

TicketKeys::~TicketKeys() {
  volatile std::byte* secret = nullptr;
  for (Key& key : keys_) {
    secret = key.secret.data();
    for (size_t i = 0; i < key.secret.size(); ++i) secret[i] = std::byte{0};
  }
}

void TicketKeys::rotate() {
  std::ranges::rotate(keys_, keys_.end() - 1);
  count_ = std::min(count_ + 1, kKept);
  WC_RNG rng;
  RINGMTA_ASSERT(wc_InitRng(&rng) == 0);
  Key& key = keys_[0];
  RINGMTA_ASSERT(wc_RNG_GenerateBlock(&rng, reinterpret_cast<byte*>(key.name.data()),
                                      static_cast<word32>(key.name.size())) == 0);
  RINGMTA_ASSERT(wc_RNG_GenerateBlock(&rng, reinterpret_cast<byte*>(key.secret.data()),
                                      static_cast<word32>(key.secret.size())) == 0);
  wc_FreeRng(&rng);
}

const TicketKeys::Key* TicketKeys::find(const std::byte* name) const {
  for (size_t i = 0; i < count_; ++i) {
    if (std::memcmp(keys_[i].name.data(), name, keys_[i].name.size()) == 0) return &keys_[i];
  }
  return nullptr;
}

TicketSealer::TicketSealer() { RINGMTA_ASSERT(wc_InitRng(&rng_) == 0); }
TicketSealer::~TicketSealer() { wc_FreeRng(&rng_); }

// The library has room for 16 octets of nonce, of which 12 are used and the rest is random too, and
// for 32 of check value, of which 16 are the tag. A key seals far fewer than 2^32 tickets, so
// random nonces do (NIST SP 800-38D 8.3).
int TicketSealer::callback(WOLFSSL* session, unsigned char* key_name, unsigned char* iv,
                           unsigned char* mac, int seal, unsigned char* ticket, int size,
                           int* size_out, void* context) {
  auto& my = *static_cast<TicketSealer*>(context);
  const TicketKeys::Key* key = nullptr;
  if (seal != 0) {
    if (my.keys_.empty()) return WOLFSSL_TICKET_RET_REJECT;
    key = &my.keys_.current();
    std::memcpy(key_name, key->name.data(), key->name.size());
    std::memset(mac, 0, WOLFSSL_TICKET_MAC_SZ);
    if (wc_RNG_GenerateBlock(&my.rng_, iv, WOLFSSL_TICKET_IV_SZ) != 0) {
      return WOLFSSL_TICKET_RET_REJECT;
    }
  } else {
    key = my.keys_.find(reinterpret_cast<const std::byte*>(key_name));
    if (key == nullptr) return WOLFSSL_TICKET_RET_REJECT;
  }
  const auto& transport = *static_cast<const Transport*>(wolfSSL_GetIOReadCtx(session));
  Binding binding;
  if (!fill(binding, key_name, transport.server_name)) return WOLFSSL_TICKET_RET_REJECT;
  const auto* bound = reinterpret_cast<const byte*>(&binding);
  Aes aes;
  if (wc_AesInit(&aes, nullptr, INVALID_DEVID) != 0) return WOLFSSL_TICKET_RET_REJECT;
  int code =
      wc_AesGcmSetKey(&aes, octets_of(key->secret.data()), static_cast<word32>(key->secret.size()));
  if (code == 0) {
    const auto octets = static_cast<word32>(size);
    code = seal != 0 ? wc_AesGcmEncrypt(&aes, ticket, ticket, octets, iv, kNonceSize, mac, kTagSize,
                                        bound, sizeof binding)
                     : wc_AesGcmDecrypt(&aes, ticket, ticket, octets, iv, kNonceSize, mac, kTagSize,
                                        bound, sizeof binding);
  }
  wc_AesFree(&aes);
  *size_out = size;
  if (code != 0) return WOLFSSL_TICKET_RET_REJECT;
  // A ticket of an older key is good, and its owner gets a new one: in TLS 1.3 it does anyway.
  const bool renew =
      seal == 0 && key != &my.keys_.current() && wolfSSL_GetVersion(session) == WOLFSSL_TLSV1_2;
  return renew ? WOLFSSL_TICKET_RET_CREATE : WOLFSSL_TICKET_RET_OK;
}

}  // namespace ringmta::tls
