// SPDX-License-Identifier: GPL-3.0-or-later
// The mechanisms this relay knows, by their registered names.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace ringmta::sasl {

enum class Mechanism : uint8_t {
  plain,          // RFC 4616: the password itself
  login,          // the password itself, in two lines (never standardized; Microsoft's clients)
  scram_sha_256,  // RFC 7677: a proof of knowing it; both sides prove themselves
  scram_sha_256_plus,  // the same, tied to this TLS connection (RFC 9266)
  xoauth2,             // a bearer token, Google's and Microsoft's way
  oauthbearer,         // a bearer token, RFC 7628
};

std::string_view name_of(Mechanism mechanism);  // "SCRAM-SHA-256"
// Any case.
std::optional<Mechanism> mechanism_named(std::string_view name);

// The password itself, or a token, is in the octets of the exchange: only over TLS.
constexpr bool reveals_secret(Mechanism mechanism) {
  return mechanism != Mechanism::scram_sha_256 && mechanism != Mechanism::scram_sha_256_plus;
}
constexpr bool takes_token(Mechanism mechanism) {
  return mechanism == Mechanism::xoauth2 || mechanism == Mechanism::oauthbearer;
}
constexpr bool is_scram(Mechanism mechanism) { return !reveals_secret(mechanism); }

// Is the mechanism in a list as EHLO writes it: "PLAIN LOGIN SCRAM-SHA-256"?
bool lists(std::string_view offered, Mechanism mechanism);

}  // namespace ringmta::sasl
