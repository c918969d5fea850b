// SPDX-License-Identifier: GPL-3.0-or-later
// The thread that waits for the system's resolver so that nobody else has to. A name that gives no
// address any more keeps the addresses it had; a route that never had one says why in its
// deferrals.

#include "route_keeper.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "ringmta/base/log.h"
#include "shard_relay.h"
#include "smart_hosts.h"
#include "task.h"

namespace ringmta::relay {

struct RouteKeeper::State {
  std::vector<std::vector<std::string>> configured;  // by route
  std::vector<std::vector<queue::ResolvedHost>> known;
  Milliseconds interval{};
  uint32_t shards = 0;
  std::mutex lock;
  std::condition_variable changed;
  Exchange* exchange = nullptr;  // null: the relay is going; under `lock`
};

namespace {

bool same(const std::vector<queue::ResolvedHost>& a, const std::vector<queue::ResolvedHost>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].name != b[i].name || !(a[i].address == b[i].address)) return false;
  }
  return true;
}

template <typename State>
void tell_shards(State& state, uint32_t route) {
  const std::lock_guard guard(state.lock);
  if (state.exchange == nullptr) return;
  for (uint16_t shard = 0; shard < state.shards; ++shard) {
    Task::post(*state.exchange, ShardId{shard},
               [route, hosts = state.known[route]](ShardRelay& relay) {
                 relay.queue().set_route_addresses(route, hosts);
                 return true;
               });
  }
}

// One look at every route; true: some have names, so it is worth looking again.
template <typename State>
bool look(State& state) {
  bool names = false;
  for (uint32_t route = 0; route < state.configured.size(); ++route) {
    HostLookup lookup = look_up_hosts(state.configured[route]);
    for (const std::string& problem : lookup.problems) log(LogLevel::warning, "{}", problem);
    names = names || lookup.has_names;
    if (lookup.hosts.empty() || same(lookup.hosts, state.known[route])) continue;
    state.known[route] = std::move(lookup.hosts);
    tell_shards(state, route);
  }
  return names;
}

template <typename State>
void keep_looking(const std::shared_ptr<State>& state) {
  while (look(*state)) {
    std::unique_lock guard(state->lock);
    state->changed.wait_for(guard, std::chrono::milliseconds(state->interval.count),
                            [&] { return state->exchange == nullptr; });
    if (state->exchange == nullptr) return;
  }
}

}  // namespace

RouteKeeper::RouteKeeper(const config::Settings& settings, Exchange& exchange)
    : state_(std::make_shared<State>()) {
  state_->interval = settings.resolve_interval;
  state_->shards = settings.shards;
  state_->exchange = &exchange;
  for (const queue::Route& route : settings.queue.routes) {
    state_->configured.push_back(route.hosts);
    state_->known.emplace_back();
    const auto index = static_cast<uint32_t>(state_->known.size() - 1);
    for (const std::string& host : route.hosts) {
      const auto literal = parse_socket_address(host, kSmtpPort);
      if (literal) state_->known[index].push_back({host, *literal});
    }
    if (!state_->known[index].empty()) tell_shards(*state_, index);
  }
  std::thread([state = state_] { keep_looking(state); }).detach();
}

RouteKeeper::~RouteKeeper() {
  const std::lock_guard guard(state_->lock);
  state_->exchange = nullptr;
  state_->changed.notify_all();
}

}  // namespace ringmta::relay
