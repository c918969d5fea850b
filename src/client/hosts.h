// SPDX-License-Identifier: GPL-3.0-or-later
// The hosts of one site and what is known of their health. Pure bookkeeping: no I/O, the time comes
// in as an argument.
//
// The insight: what failed is a host, not a message. One attempt pays for finding out, everybody
// else is spared it for a while, and that while doubles as long as the host stays dead. When it is
// over one attempt probes; the others wait for what it finds.
//
// Hosts tried one after the other for the same mail are a row (RFC 5321 5.1). A row goes down the
// list: finding out that a host is dead may take longer than it is left alone for, so who failed in
// a row is left out of the rest of it, whatever the time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ringmta/base/prng.h"
#include "ringmta/base/time.h"
#include "ringmta/queue/options.h"

namespace ringmta::client {

struct HostRetry {
  Milliseconds first = seconds(15), longest = minutes(30);
};

struct Host {
  SocketAddress address{};
  std::string name;
  uint32_t preference = 0;
  uint32_t rank = 0;         // of the address, among those of its name: address_order.h
  uint32_t opening = 0;      // connections being made
  uint32_t established = 0;  // connections past EHLO
  uint32_t over_tls = 0;     // of these
  uint32_t failures = 0;     // in a row
  bool proven = false;       // a transaction went through since
  Monotonic skip_until{};
  uint64_t failed_in = 0;  // the last row it failed in

  bool usable(Monotonic now) const { return skip_until <= now && (failures == 0 || opening == 0); }
  void failed(Monotonic now, const HostRetry& retry, Prng& random);
  void works() {
    failures = 0;
    skip_until = {};
    proven = true;
  }
  std::string text() const;  // "mx.example.net:25 (192.0.2.1:25)"
};

class Hosts final {
 public:
  // What is known of hosts that stay is kept; connections keep those that go. `sources`: where
  // connections may come from, see address_rank().
  void update(std::span<const queue::ResolvedHost> found,
              std::span<const SocketAddress> sources = {});
  void rank(std::span<const SocketAddress> sources);  // `sources` have changed
  struct Among {
    uint32_t below = UINT32_MAX;  // only hosts preferred to that
    uint64_t row = 0;             // only those that have not failed in it; 0: no matter
  };
  // Of the most preferred that are usable a random name, of that name's addresses the best rank
  // (RFC 6724) that is usable, of those a random one. Null: none is usable now.
  std::shared_ptr<Host> choose(Monotonic now, Prng& random) const {
    return choose(now, random, Among());
  }
  std::shared_ptr<Host> choose(Monotonic now, Prng& random, const Among& among) const;
  template <typename Predicate>
  const Host* first_that(Predicate&& holds) const {
    for (const auto& host : hosts_) {
      if (holds(*host)) return host.get();
    }
    return nullptr;
  }
  // When the first of those that are skipped may be tried again.
  Monotonic next_chance() const;
  // Until when something must be remembered: the wait a failing host has earned counts for its next
  // failure.
  Monotonic remembered_until() const;
  void try_again();  // nobody is skipped any longer; what their failures have earned stays
  size_t size() const { return hosts_.size(); }

 private:
  bool same(std::span<const queue::ResolvedHost> found) const;

  std::vector<std::shared_ptr<Host>> hosts_;  // by preference, otherwise in the order given
};

}  // namespace ringmta::client
