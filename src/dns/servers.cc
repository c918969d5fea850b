// SPDX-License-Identifier: GPL-3.0-or-later
// Smoothing as TCP does it (an eighth of each new sample, RFC 6298); the others' times shrink by a
// fiftieth each time one is chosen.
#include "servers.h"

#include <algorithm>

#include "ringmta/dns/resolv_conf.h"

namespace ringmta::dns {
namespace {

constexpr uint32_t kSilentUntilDown = 3;
constexpr uint32_t kDownShiftMax = 5;  // 32 times a second: half a minute
constexpr int64_t kSilentRoundTripMin_us = 200'000;
constexpr int64_t kRoundTripMax_us = 5'000'000;
constexpr Milliseconds kDownMax = seconds(30);
constexpr Milliseconds kWithoutEdns = minutes(15);

}  // namespace

void Servers::set(const std::vector<SocketAddress>& addresses) {
  std::vector<Server> fresh;
  for (const SocketAddress& address : addresses) {
    if (fresh.size() >= kServersMax) break;
    Server server;
    server.address = address;
    if (server.address.port() == 0) server.address.set_port(kDnsPort);
    const auto known = std::find_if(servers_.begin(), servers_.end(), [&](const Server& old) {
      return old.address == server.address;
    });
    fresh.push_back(known != servers_.end() ? *known : server);
  }
  servers_ = std::move(fresh);
}

uint8_t Servers::choose(uint32_t tried, Monotonic now) {
  uint8_t best = kNone;
  const auto better = [&](const Server& a, const Server& b) {
    const bool a_down = a.down_until > now;
    const bool b_down = b.down_until > now;
    if (a_down != b_down) return b_down;
    if (a_down) return a.down_until < b.down_until;
    return a.round_trip_us < b.round_trip_us;
  };
  for (uint8_t i = 0; i < servers_.size(); ++i) {
    if ((tried >> i & 1) != 0) continue;
    if (best == kNone || better(servers_[i], servers_[best])) best = i;
  }
  if (best == kNone) return kNone;
  for (uint8_t i = 0; i < servers_.size(); ++i) {
    if (i != best) servers_[i].round_trip_us -= servers_[i].round_trip_us / 50;
  }
  ++servers_[best].sent;
  return best;
}

void Servers::answered(uint8_t index, int64_t round_trip_us) {
  if (index == kNone) return;
  Server& server = servers_[index];
  const int64_t sample = std::clamp<int64_t>(round_trip_us, 1, kRoundTripMax_us);
  server.round_trip_us =
      server.round_trip_us == 0
          ? sample
          : std::max<int64_t>(server.round_trip_us + (sample - server.round_trip_us) / 8, 1);
  said_something(index);
}

void Servers::said_something(uint8_t index) {
  if (index == kNone) return;
  Server& server = servers_[index];
  ++server.answered;
  server.silent = 0;
  server.down_until = {};
}

void Servers::was_silent(uint8_t index, Monotonic now) {
  if (index == kNone) return;
  Server& server = servers_[index];
  ++server.timeouts;
  ++server.silent;
  server.round_trip_us =
      std::clamp(server.round_trip_us * 3 / 2, kSilentRoundTripMin_us, kRoundTripMax_us);
  if (server.silent < kSilentUntilDown) return;
  const uint32_t shift = std::min(server.silent - kSilentUntilDown, kDownShiftMax);
  server.down_until = now + std::min(seconds(int64_t{1} << shift), kDownMax);
}

void Servers::was_useless(uint8_t index) {
  if (index == kNone) return;
  int64_t& round_trip_us = servers_[index].round_trip_us;
  round_trip_us = std::clamp(round_trip_us * 3 / 2, kSilentRoundTripMin_us, kRoundTripMax_us);
}

void Servers::no_edns(uint8_t index, Monotonic now) {
  if (index != kNone) servers_[index].edns_again = now + kWithoutEdns;
}

bool Servers::wants_edns(uint8_t index, Monotonic now) const {
  return servers_[index].edns_again <= now;
}

}  // namespace ringmta::dns
