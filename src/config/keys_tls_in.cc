// SPDX-License-Identifier: GPL-3.0-or-later
// The rows about TLS with clients.
#include "key.h"
#include "names.h"

namespace ringmta::config {
namespace {

constexpr size_t kFingerprintDigits = 64;

// SHA-256 in hexadecimal, as `openssl x509 -fingerprint -sha256` writes it, or without colons.
Status check_fingerprint(std::string_view text) {
  size_t digits = 0;
  for (const char c : text) {
    const bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    if (c != ':' && !digit) digits = kFingerprintDigits + 1;
    digits += digit ? 1 : 0;
  }
  if (digits == kFingerprintDigits) return {};
  return fail(
      "a fingerprint is 64 hexadecimal digits: openssl x509 -in CERTIFICATE -noout -fingerprint "
      "-sha256");
}

constexpr Key kKeys[] = {
    {.section = "server",
     .name = "listen_tls",
     .kind = Addresses{RINGMTA_AT(server.tls.listeners), 465},
     .meaning = "Where mail is taken in with TLS from the first octet (RFC 8314), beside `listen`. "
                "Needs a `[[server.tls.certificate]]`.",
     .example = "[\"0.0.0.0:465\", \"[::]:465\"]",
     .at_start = true},

    {.section = "server.tls",
     .name = "required",
     .kind = Flag{RINGMTA_AT(server.tls.required)},
     .meaning = "No mail without TLS: `530 5.7.0` until the client has said STARTTLS."},
    {.section = "server.tls",
     .name = "client_roots",
     .kind = Text{RINGMTA_AT(server.tls.client_roots), check_path, "absolute path", true},
     .meaning = "Roots in PEM. Clients with a certificate that one of them has issued may send to "
                "any recipient, wherever they are. Give roots of your own only.",
     .example = "\"/etc/ringmta/tls/clients.pem\""},
    {.section = "server.tls",
     .name = "client_fingerprints",
     .kind = Texts{RINGMTA_AT(server.tls.client_fingerprints), check_fingerprint, "fingerprints"},
     .meaning = "SHA-256 of certificates whose holders may send to any recipient, wherever they "
                "are and whoever has issued them.",
     .example = "[\"6A:31:...\"]"},
    {.section = "server.tls",
     .name = "ticket_rotation",
     .kind = Duration{RINGMTA_AT(server.tls.ticket_rotation), {0}, hours(168)},
     .meaning =
         "A new key for session tickets so often; a ticket is good for two to three of these "
         "times. 0: no tickets, every connection does a full handshake. Where clients are "
         "asked for certificates there are none either."},
    {.section = "server.tls",
     .name = "handshakes_per_turn",
     .kind = Whole{RINGMTA_AT(server.tls.handshakes_per_turn), 1, 10'000},
     .meaning = "Steps of handshakes that a shard does before it looks after its other sessions "
                "again."},

    {.section = "server.tls.certificate",
     .name = "certificate",
     .kind =
         Text{RINGMTA_AT(server.tls.certificates.back().certificate), check_path, "absolute path"},
     .meaning = "PEM file: the certificate, then its intermediates.",
     .example = "\"/etc/ringmta/tls/relay.pem\"",
     .required = true},
    {.section = "server.tls.certificate",
     .name = "key",
     .kind = Text{RINGMTA_AT(server.tls.certificates.back().key), check_path, "absolute path"},
     .meaning = "PEM file: its key (RSA or ECDSA), not encrypted, readable for the relay's user "
                "alone.",
     .example = "\"/etc/ringmta/tls/relay.key\"",
     .required = true},

    {.section = "server.timeouts",
     .name = "handshake",
     .kind = Duration{RINGMTA_AT(server.timeouts.handshake), {1}, hours(1)},
     .meaning = "A TLS handshake, from its beginning however busy: the connection is dropped."},
};

}  // namespace

std::span<const Key> tls_in_keys() { return kKeys; }

}  // namespace ringmta::config
