// SPDX-License-Identifier: GPL-3.0-or-later
#include "ringmta/sasl/credential_cache.h"

#include <sys/random.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "ringmta/base/assert.h"
#include "ringmta/base/wipe.h"

namespace ringmta::sasl {
namespace {

const ScramKey& key_of_this_process() {
  static const ScramKey key_of_this_process = [] {
    ScramKey key{};
    RINGMTA_ASSERT(getrandom(key.data(), key.size(), 0) == static_cast<ssize_t>(key.size()));
    return key;
  }();
  return key_of_this_process;
}

}  // namespace

CredentialCache::CredentialCache(size_t entries_max)
    : entries_(std::bit_ceil(std::max(entries_max, kWays))) {}

// The parts have fixed lengths but for the password, which stands last.
CredentialCache::Key CredentialCache::key_of(std::string_view prepared_password,
                                             const ScramVerifier& verifier) {
  std::string message;
  append_secret(message, as_text(verifier.stored));
  append_secret(message, prepared_password);
  const Key key = scram_mac(key_of_this_process(), message);
  wipe(message);
  return key;
}

std::span<CredentialCache::Entry, CredentialCache::kWays> CredentialCache::set_of(const Key& key) {
  const size_t sets = entries_.size() / kWays;
  const size_t set = load<uint64_t>(key.data()) & (sets - 1);
  return std::span<Entry, kWays>(entries_.data() + set * kWays, kWays);
}

std::optional<bool> CredentialCache::find(const Key& key) {
  for (Entry& entry : set_of(key)) {
    if (entry.used == 0 || !equal_in_constant_time(as_text(entry.key), as_text(key))) continue;
    entry.used = ++clock_;
    return entry.matches;
  }
  return std::nullopt;
}

void CredentialCache::remember(const Key& key, bool matches) {
  const auto set = set_of(key);
  Entry* place = &set[0];
  for (Entry& entry : set) {
    if (entry.used != 0 && entry.key == key) {
      place = &entry;
      break;
    }
    if (entry.used < place->used) place = &entry;
  }
  *place = {key, ++clock_, matches};
}

}  // namespace ringmta::sasl
