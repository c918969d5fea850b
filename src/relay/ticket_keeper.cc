// SPDX-License-Identifier: GPL-3.0-or-later
// A ticket is good for two to three rotations (TicketKeys::kKept). With tickets switched off the
// shards get an empty set, which takes the keys from them at once.
#include "ticket_keeper.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "shard_relay.h"
#include "task.h"

namespace ringmta::relay {

struct TicketKeeper::State {
  tls::TicketKeys keys;  // the thread's while it runs
  Milliseconds interval{};
  uint32_t shards = 0;
  Exchange* exchange = nullptr;
  std::mutex lock;
  std::condition_variable changed;
  bool ending = false;  // under `lock`
  std::thread thread;

  void hand_out() {
    const tls::TicketKeys copy = interval.count > 0 ? keys : tls::TicketKeys();
    for (uint16_t shard = 0; shard < shards; ++shard) {
      Task::post(*exchange, ShardId{shard}, [copy](ShardRelay& relay) {
        relay.server().use_ticket_keys(copy);
        return true;
      });
    }
  }

  void run() {
    std::unique_lock guard(lock);
    for (;;) {
      changed.wait_for(guard, std::chrono::milliseconds(interval.count), [this] { return ending; });
      if (ending) return;
      keys.rotate();
      hand_out();
    }
  }
};

TicketKeeper::TicketKeeper() : state_(std::make_unique<State>()) { state_->keys.rotate(); }

TicketKeeper::~TicketKeeper() { stop(); }

const tls::TicketKeys& TicketKeeper::keys() const { return state_->keys; }

void TicketKeeper::start(const server::ServerTls& options, uint32_t shards, Exchange& exchange) {
  const bool same = state_->interval == options.ticket_rotation;
  if (state_->thread.joinable() && options.offered() && same) return;  // a reload is no rotation
  stop();
  state_->interval = options.ticket_rotation;
  state_->shards = shards;
  state_->exchange = &exchange;
  state_->ending = false;
  if (!options.offered()) return;
  state_->hand_out();
  if (options.ticket_rotation.count > 0) {
    state_->thread = std::thread([state = state_.get()] { state->run(); });
  }
}

void TicketKeeper::stop() {
  if (!state_->thread.joinable()) return;
  {
    const std::lock_guard guard(state_->lock);
    state_->ending = true;
  }
  state_->changed.notify_all();
  state_->thread.join();
}

}  // namespace ringmta::relay
