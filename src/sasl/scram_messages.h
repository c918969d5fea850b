// SPDX-License-Identifier: GPL-3.0-or-later
// The four messages of SCRAM (RFC 5802 5 and 7), read into views and written from parts.
//
// Both sides read strictly: attributes in the order of the grammar, each once; an extension that
// begins with "m=" is mandatory and unknown here, so it ends the exchange; other extensions are
// passed over.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ringmta::sasl {

inline constexpr size_t kScramMessageMax = 8192;  // octets; longer is nonsense

enum class BindingFlag : uint8_t {
  none,      // "n": the client knows no channel binding
  declined,  // "y": it does, and believes that the server does not
  used       // "p=": it is used
};

struct ScramClientFirst {
  BindingFlag flag = BindingFlag::none;
  std::string_view binding_name;         // with `used`: "tls-exporter"
  std::string_view authorization, user;  // saslname, still escaped
  std::string_view nonce;
  std::string_view gs2_header;  // up to and with its second comma
  std::string_view bare;        // the rest
};
std::optional<ScramClientFirst> parse_client_first(std::string_view message);

struct ScramServerFirst {
  std::string_view nonce;
  std::string salt;
  uint32_t iterations = 0;
};
std::optional<ScramServerFirst> parse_server_first(std::string_view message);

struct ScramClientFinal {
  std::string binding;  // decoded
  std::string_view nonce;
  std::string proof;               // decoded, 32 octets
  std::string_view without_proof;  // up to the comma before "p="
};
std::optional<ScramClientFinal> parse_client_final(std::string_view message);

struct ScramServerFinal {
  std::string signature;   // decoded; empty with an error
  std::string_view error;  // "invalid-proof"
};
std::optional<ScramServerFinal> parse_server_final(std::string_view message);

// "," and "=" as "=2C" and "=3D", and back; nothing where it is not a saslname.
std::string escape_saslname(std::string_view name);
std::optional<std::string> unescape_saslname(std::string_view text);

// Printable ASCII without comma.
bool is_scram_nonce(std::string_view text);

}  // namespace ringmta::sasl
