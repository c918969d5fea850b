// SPDX-License-Identifier: GPL-3.0-or-later
// Client sessions by peer, so that the next connection to it costs no public-key operation of its
// server. Bounded: the peer not spoken to for longest goes first.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "library.h"

namespace ringmta::tls {

class SessionCache final {
 public:
  explicit SessionCache(uint32_t sessions_max) : sessions_max_(sessions_max) {}
  ~SessionCache();
  SessionCache(const SessionCache&) = delete;
  SessionCache& operator=(const SessionCache&) = delete;

  WOLFSSL_SESSION* find(std::string_view peer);               // stays the cache's; null: unknown
  void put(std::string_view peer, WOLFSSL_SESSION* session);  // takes it over
  void drop(std::string_view peer);
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string peer;
    WOLFSSL_SESSION* session = nullptr;
  };
  using Entries = std::list<Entry>;
  void erase(Entries::iterator entry);

  uint32_t sessions_max_;
  Entries entries_;                                                  // the latest first
  std::unordered_map<std::string_view, Entries::iterator> by_peer_;  // keys are views into entries_
};

}  // namespace ringmta::tls
