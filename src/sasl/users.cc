// SPDX-License-Identifier: GPL-3.0-or-later
#include "ringmta/sasl/users.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "ringmta/base/base64.h"
#include "ringmta/base/wipe.h"

namespace ringmta::sasl {

ScramVerifier make_verifier(std::string_view prepared_password, std::string_view salt,
                            uint32_t iterations) {
  const ScramKeys keys = derive_scram_keys(prepared_password, salt, iterations);
  ScramVerifier verifier;
  verifier.salt = salt;
  verifier.iterations = iterations;
  verifier.stored = scram_stored_key(keys.client);
  verifier.server = keys.server;
  return verifier;
}

bool verify_password(std::string_view prepared_password, const ScramVerifier& verifier) {
  const ScramKeys keys = derive_scram_keys(prepared_password, verifier.salt, verifier.iterations);
  return equal_in_constant_time(as_text(scram_stored_key(keys.client)), as_text(verifier.stored));
}

bool UserUsage::enter(uint32_t sessions_max) {
  uint32_t now = sessions_.load(std::memory_order_relaxed);
  do {
    if (sessions_max != 0 && now >= sessions_max) return false;
  } while (!sessions_.compare_exchange_weak(now, now + 1, std::memory_order_relaxed));
  return true;
}

bool UserUsage::count_message(uint32_t per_hour_max, WallTime now) {
  const uint64_t hour = hour_of(now) << 32;
  uint64_t seen = messages_.load(std::memory_order_relaxed);
  uint64_t next = 0;
  do {
    const uint64_t count = seen >> 32 == hour >> 32 ? seen & UINT32_MAX : 0;
    if (per_hour_max != 0 && count >= per_hour_max) return false;
    next = hour | std::min<uint64_t>(count + 1, UINT32_MAX);
  } while (!messages_.compare_exchange_weak(seen, next, std::memory_order_relaxed));
  return true;
}

bool UserUsage::may_send(uint32_t per_hour_max, WallTime now) const {
  const uint64_t seen = messages_.load(std::memory_order_relaxed);
  return per_hour_max == 0 || seen >> 32 != hour_of(now) || (seen & UINT32_MAX) < per_hour_max;
}

bool User::may_send_as(std::string_view reverse_path) const {
  if (senders.empty() || reverse_path.empty()) return true;
  std::string address(reverse_path);
  for (char& c : address) c = ascii_lower(c);
  const size_t at = address.rfind('@');
  if (at == std::string::npos) return false;
  const std::string_view domain = std::string_view(address).substr(at);  // with the "@"
  return std::any_of(senders.begin(), senders.end(), [&](const std::string& permitted) {
    if (permitted.front() != '@') return permitted == address;
    if (!permitted.starts_with("@.")) return permitted == domain;
    const std::string_view below = std::string_view(permitted).substr(1);
    return domain.substr(1) == below.substr(1) || domain.ends_with(below);
  });
}

const User* Users::find(std::string_view prepared_name) const {
  const auto found = users_.find(prepared_name);
  return found == users_.end() ? nullptr : &found->second;
}

ScramVerifier Users::pretended(std::string_view name) const {
  const auto made = [&](std::string_view what) {
    return scram_mac(secret_, std::string(what).append(name));
  };
  ScramVerifier verifier;
  verifier.salt = std::string(as_text(made("salt"))).substr(0, salt_size_);
  verifier.iterations = iterations_;
  verifier.stored = made("stored");  // the hash of nothing anybody knows
  verifier.server = made("server");
  return verifier;
}

}  // namespace ringmta::sasl
