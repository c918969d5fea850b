// SPDX-License-Identifier: GPL-3.0-or-later
// Which host is next (RFC 5321 5.1: by preference, at random among equals; RFC 6724: the
// addresses of one name by rank), and for how long a failing one is left alone.
#include "hosts.h"

#include <algorithm>

#include "address_order.h"

namespace ringmta::client {
namespace {

constexpr uint32_t kDoublingsMax = 30;

bool is(const Host& host, const queue::ResolvedHost& found) {
  return host.preference == found.preference && host.address == found.address &&
         host.name == found.name;
}

}  // namespace

// Attempts that were under way when the first one failed are part of the same trouble: they do not
// make the wait longer. The jitter keeps the probes of many sites apart.
void Host::failed(Monotonic now, const HostRetry& retry, Prng& random) {
  if (skip_until > now) return;
  const int64_t doubled = retry.first.count << std::min(failures, kDoublingsMax);
  const int64_t wait = std::clamp<int64_t>(doubled, 1, std::max<int64_t>(retry.longest.count, 1));
  const auto varied = static_cast<int64_t>(random.below(static_cast<uint64_t>(wait / 8 + 1)));
  ++failures;
  proven = false;
  skip_until = now + Milliseconds{wait - varied};
}

std::string Host::text() const {
  std::string address_text = address.text();
  if (name.empty() || name == address_text) return address_text;
  return name + " (" + address_text + ")";
}

bool Hosts::same(std::span<const queue::ResolvedHost> found) const {
  if (found.size() != hosts_.size()) return false;
  for (size_t i = 0; i < found.size(); ++i) {
    if (!is(*hosts_[i], found[i])) return false;
  }
  return true;
}

void Hosts::update(std::span<const queue::ResolvedHost> found,
                   std::span<const SocketAddress> sources) {
  if (same(found)) return;
  std::vector<std::shared_ptr<Host>> updated;
  updated.reserve(found.size());
  for (const queue::ResolvedHost& one : found) {
    const auto known = std::find_if(hosts_.begin(), hosts_.end(), [&](const auto& host) {
      return host->address == one.address && host->name == one.name;
    });
    updated.push_back(known != hosts_.end() ? *known : std::make_shared<Host>());
    updated.back()->address = one.address;
    updated.back()->name = one.name;
    updated.back()->preference = one.preference;
  }
  std::stable_sort(updated.begin(), updated.end(),
                   [](const auto& a, const auto& b) { return a->preference < b->preference; });
  hosts_ = std::move(updated);
  rank(sources);
}

void Hosts::rank(std::span<const SocketAddress> sources) {
  for (const auto& host : hosts_) host->rank = address_rank(host->address, sources);
}

std::shared_ptr<Host> Hosts::choose(Monotonic now, Prng& random, const Among& among) const {
  const auto usable = [&](const Host& host) {
    return host.usable(now) && (among.row == 0 || host.failed_in != among.row);
  };
  // Each pass keeps one of n candidates with the chance 1/n of each (reservoir sampling).
  const Host* named = nullptr;
  uint64_t names = 0;
  for (size_t i = 0; i < hosts_.size(); ++i) {
    const Host& host = *hosts_[i];
    if (named != nullptr && host.preference != named->preference) break;
    if (host.preference >= among.below) break;
    if (!usable(host)) continue;
    bool seen = false;
    for (size_t k = 0; k < i && !seen; ++k) {
      seen = hosts_[k]->preference == host.preference && hosts_[k]->name == host.name &&
             usable(*hosts_[k]);
    }
    if (!seen && random.below(++names) == 0) named = &host;
  }
  if (named == nullptr) return nullptr;
  std::shared_ptr<Host> chosen;
  uint64_t addresses = 0;  // of the best rank so far
  for (const std::shared_ptr<Host>& host : hosts_) {
    if (host->preference != named->preference || host->name != named->name) continue;
    if (!usable(*host) || (chosen != nullptr && host->rank > chosen->rank)) continue;
    if (chosen != nullptr && host->rank < chosen->rank) addresses = 0;
    if (random.below(++addresses) == 0) chosen = host;
  }
  return chosen;
}

Monotonic Hosts::next_chance() const {
  Monotonic earliest = Monotonic::never();
  for (const auto& host : hosts_) earliest = std::min(earliest, host->skip_until);
  return earliest;
}

Monotonic Hosts::remembered_until() const {
  Monotonic latest{};
  for (const auto& host : hosts_) {
    if (host->failures > 0) latest = std::max(latest, host->skip_until);
  }
  return latest;
}

void Hosts::try_again() {
  for (const std::shared_ptr<Host>& host : hosts_) host->skip_until = {};
}

}  // namespace ringmta::client
