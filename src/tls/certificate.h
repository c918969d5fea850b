// SPDX-License-Identifier: GPL-3.0-or-later
// What the relay itself must know of a certificate (RFC 5280): its names, whether it is signed with
// a broken hash or has a weak key, its fingerprint. Chains and dates are the library's to check.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/base/bytes.h"
#include "ringmta/base/result.h"

namespace ringmta::tls {

struct Certificate {
  std::vector<std::string> dns_names;  // of subjectAltName, in lower case
  std::vector<std::string> addresses;  // of subjectAltName: 4 or 16 octets each
  bool is_ecdsa = false;               // its key is on an elliptic curve
  bool weak_key = false;               // RSA of less than 2048 bits, a curve of less than 256
  bool weak_signature = false;         // signed with MD5 or SHA-1
  bool self_issued = false;            // issuer and subject are the same
  int64_t not_before_s = 0;            // since 1970
  int64_t not_after_s = 0;
};

Result<Certificate> read_certificate(Bytes der);
std::string fingerprint(Bytes der);  // SHA-256 in hexadecimal

// Is the certificate for `name`, a host name or an address? (RFC 9525 6: only subjectAltName
// counts; a wildcard is the whole first label, stands for exactly one, and at least two labels
// follow it.)
bool is_for(const Certificate& certificate, std::string_view name);
bool dns_name_matches(std::string_view pattern, std::string_view name);

}  // namespace ringmta::tls
