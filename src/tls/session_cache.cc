// SPDX-License-Identifier: GPL-3.0-or-later
#include "session_cache.h"

namespace ringmta::tls {

SessionCache::~SessionCache() {
  for (const Entry& entry : entries_) wolfSSL_SESSION_free(entry.session);
}

WOLFSSL_SESSION* SessionCache::find(std::string_view peer) {
  const auto found = by_peer_.find(peer);
  if (found == by_peer_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->session;
}

void SessionCache::put(std::string_view peer, WOLFSSL_SESSION* session) {
  if (const auto found = by_peer_.find(peer); found != by_peer_.end()) {
    wolfSSL_SESSION_free(found->second->session);
    found->second->session = session;
    entries_.splice(entries_.begin(), entries_, found->second);
    return;
  }
  if (sessions_max_ == 0) {
    wolfSSL_SESSION_free(session);
    return;
  }
  if (entries_.size() >= sessions_max_) erase(std::prev(entries_.end()));
  entries_.push_front({std::string(peer), session});
  by_peer_.emplace(entries_.front().peer, entries_.begin());
}

void SessionCache::drop(std::string_view peer) {
  const auto found = by_peer_.find(peer);
  if (found != by_peer_.end()) erase(found->second);
}

void SessionCache::erase(Entries::iterator entry) {
  by_peer_.erase(entry->peer);
  wolfSSL_SESSION_free(entry->session);
  entries_.erase(entry);
}

}  // namespace ringmta::tls
