// SPDX-License-Identifier: GPL-3.0-or-later
// PEM (RFC 7468): the private key in a text.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/base/result.h"

namespace ringmta::dkim {

// Octets that are overwritten when they go.
class SecretOctets final {
 public:
  explicit SecretOctets(std::vector<std::byte> octets) : octets_(std::move(octets)) {}
  SecretOctets(SecretOctets&&) = default;
  SecretOctets& operator=(SecretOctets&&) = delete;
  ~SecretOctets();
  std::span<const std::byte> view() const { return octets_; }

 private:
  std::vector<std::byte> octets_;
};

// DER of the first private key in `pem`. Errors say what it is instead.
Result<SecretOctets> private_key_of_pem(std::string_view pem);
std::string pem_of(std::string_view label, std::span<const std::byte> der);

}  // namespace ringmta::dkim
