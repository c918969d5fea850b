// SPDX-License-Identifier: GPL-3.0-or-later
// Hosts whose TLS did not work lately. Opportunistic mail goes there in clear text until they are
// forgotten, instead of paying for the failure with a connection each time.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "ringmta/base/address.h"
#include "ringmta/base/time.h"

namespace ringmta::client {

class TlsMemory final {
 public:
  explicit TlsMemory(uint32_t hosts_max) : hosts_max_(hosts_max) {}

  void note(const SocketAddress& host, Monotonic until);
  bool is_broken(const SocketAddress& host, Monotonic now);
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string host;
    Monotonic until{};
  };
  using Entries = std::list<Entry>;
  void erase(Entries::iterator entry);

  uint32_t hosts_max_;
  Entries entries_;                                                  // the latest noted first
  std::unordered_map<std::string_view, Entries::iterator> by_host_;  // keys are views into entries_
};

}  // namespace ringmta::client
