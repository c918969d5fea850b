// SPDX-License-Identifier: GPL-3.0-or-later
// The mathematics of SCRAM-SHA-256 (RFC 5802 3, RFC 7677), and nothing of its messages.
//
// The insight: the one dear step, from a password to keys, depends on (password, salt, iterations)
// alone. It is a function of its own, so that a client can keep its result, a server can run it on
// another thread, and everything else in an exchange is a handful of HMACs.
//
// A server keeps StoredKey and ServerKey: who steals them can pretend to be that server, but cannot
// log in anywhere.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "ringmta/base/bytes.h"
#include "ringmta/base/hidden_memory.h"

namespace ringmta::sasl {

using ScramKey = std::array<std::byte, 32>;

// What a client proves itself and checks its server with. Overwritten when given up.
struct ScramKeys : Hidden {
  ScramKey client{};
  ScramKey server{};
  ScramKeys() = default;
  ScramKeys(const ScramKeys&) = default;
  ScramKeys& operator=(const ScramKeys&) = default;
  ~ScramKeys();
};

// `password` as prepare.h leaves it. Two SHA-256 blocks per iteration (bench/bench_sasl.cc).
ScramKeys derive_scram_keys(std::string_view password, std::string_view salt, uint32_t iterations);

ScramKey scram_stored_key(const ScramKey& client_key);  // H(ClientKey)
ScramKey scram_mac(const ScramKey& key, std::string_view message);
// ClientProof from ClientKey, and ClientKey from ClientProof: exclusive-or with ClientSignature.
ScramKey scram_proof(const ScramKey& client_key, const ScramKey& client_signature);

inline std::string_view as_text(const ScramKey& key) { return ringmta::as_text(Bytes(key)); }

}  // namespace ringmta::sasl
