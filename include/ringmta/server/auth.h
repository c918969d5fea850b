// SPDX-License-Identifier: GPL-3.0-or-later
// Who may log in, and what the shards share about it.
//
// Against guessing there are three counts of failures, each forgotten `block_for` after the last:
// by user and network together (at failures_max that network may not try that user any more), by
// network (at network_failures_max it may not try anybody), and by user, which blocks nobody, or
// anyone could lock a sender out from afar; it only lets the delay of the replies grow. A password
// verified before passes whatever the counts of others say.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ringmta/base/address.h"
#include "ringmta/base/time.h"
#include "ringmta/sasl/failure_table.h"
#include "ringmta/sasl/mechanism.h"
#include "ringmta/sasl/password_verifier.h"
#include "ringmta/sasl/users.h"

namespace ringmta::server {

struct AuthOptions {
  std::string users_file;                    // empty: AUTH is not offered
  std::shared_ptr<const sasl::Users> users;  // what stands in it (config/ reads it)
  std::vector<sasl::Mechanism> mechanisms = {sasl::Mechanism::scram_sha_256_plus,
                                             sasl::Mechanism::scram_sha_256, sasl::Mechanism::plain,
                                             sasl::Mechanism::login};
  std::vector<Network> clear_networks;  // AUTH without TLS
  uint32_t failures_max = 10;
  uint32_t network_failures_max = 100;
  Milliseconds block_for = minutes(15);
  Milliseconds delay_max = seconds(8);  // of the reply to a failure; it doubles from 250 ms on
};

// One for all shards.
class AuthShared final {
 public:
  explicit AuthShared(bool own_thread = true);

  sasl::PasswordVerifier verifier;
  sasl::FailureTable failures;

  // Keys of the table; nobody outside knows which of them meet. Networks are an IPv4 address, or
  // the /64 of an IPv6 one.
  uint64_t network_key(const SocketAddress& client) const;
  uint64_t user_key(std::string_view user) const;
  static uint64_t joined(uint64_t network, uint64_t user);

 private:
  uint64_t hash(uint64_t kind, std::string_view text) const;
  uint64_t seed_ = 0;
};

}  // namespace ringmta::server
