// SPDX-License-Identifier: GPL-3.0-or-later
// Keyed by address and port: the same machine may do better at another port.
#include "tls_memory.h"

namespace ringmta::client {
namespace {

std::string_view key_of(const SocketAddress& host) {
  return {reinterpret_cast<const char*>(&host.storage), host.length};
}

}  // namespace

void TlsMemory::note(const SocketAddress& host, Monotonic until) {
  if (hosts_max_ == 0) return;
  if (const auto known = by_host_.find(key_of(host)); known != by_host_.end()) {
    erase(known->second);
  }
  if (entries_.size() >= hosts_max_) erase(std::prev(entries_.end()));
  entries_.push_front({std::string(key_of(host)), until});
  by_host_.emplace(entries_.front().host, entries_.begin());
}

bool TlsMemory::is_broken(const SocketAddress& host, Monotonic now) {
  if (entries_.empty()) return false;
  const auto known = by_host_.find(key_of(host));
  if (known == by_host_.end()) return false;
  if (now < known->second->until) return true;
  erase(known->second);
  return false;
}

void TlsMemory::erase(Entries::iterator entry) {
  by_host_.erase(entry->host);
  entries_.erase(entry);
}

}  // namespace ringmta::client
