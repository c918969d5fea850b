// SPDX-License-Identifier: GPL-3.0-or-later
// Passwords that were verified lately, so that a sender who logs in once per message costs a hash
// and not a derivation.
//
// What is kept is a MAC of password and entry under a key that only this process has and no file
// ever sees: 32 octets that say nothing about the password, and match nothing any more once the
// user's entry has changed. Memory is fixed; the oldest of four goes where a new one hashes to.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "ringmta/sasl/users.h"

namespace ringmta::sasl {

class CredentialCache final {
 public:
  using Key = ScramKey;
  static constexpr size_t kEntriesDefault = 4096;
  explicit CredentialCache(size_t entries_max = kEntriesDefault);

  static Key key_of(std::string_view prepared_password, const ScramVerifier& verifier);

  // Did that password match? Nothing: not known.
  std::optional<bool> find(const Key& key);
  void remember(const Key& key, bool matches);

 private:
  static constexpr size_t kWays = 4;
  struct Entry {
    Key key{};
    uint64_t used = 0;  // 0: empty
    bool matches = false;
  };
  std::span<Entry, kWays> set_of(const Key& key);
  std::vector<Entry> entries_;
  uint64_t clock_ = 0;
};

}  // namespace ringmta::sasl
