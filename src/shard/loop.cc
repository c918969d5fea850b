// SPDX-License-Identifier: GPL-3.0-or-later
// The turn of a shard.
//
// The insight: before it may sleep, a shard announces itself asleep and then runs its stages once
// more. Whatever another shard pushed before the announcement is found by that last look; whoever
// pushes after it sees the announcement and rings. No letter waits for an unrelated wake-up, and a
// shard that is awake is never rung.
//
// Limit: timers beyond kTimersPerTurn that are due at once wait for the next turn, which then does
// not sleep, so a burst of them does not hold up input and output.
#include "ringmta/shard/loop.h"

#include <algorithm>

namespace ringmta::shard {
namespace {

constexpr int kTimersPerTurn = 4096;

}  // namespace

Loop::Loop(ring::Io& io) : io_(io), timers_(io.now()) {}

void Loop::handle(Owner owner, void* self, Handler handler) {
  Entry& entry = handlers_.at(static_cast<size_t>(owner));
  RINGMTA_ASSERT(entry.handler == nullptr && handler != nullptr);
  entry = {self, handler};
}

void Loop::add_stage(void* self, Stage stage) {
  RINGMTA_ASSERT(stage != nullptr);
  stages_.emplace_back(self, stage);
}

void Loop::turn(Monotonic until) {
  if (!busy_ && std::min(until, timers_.next_due()) > io_.now()) {
    doorbell_.about_to_sleep();
    busy_ = run_stages();
  }
  const Monotonic wake = busy_ ? io_.now() : std::min(until, timers_.next_due());
  const std::span<const ring::Event> events = io_.turn(wake);
  // An empty turn leaves the announcement standing: only the time passed, or, in the simulator, the
  // shard still sleeps, since a turn there returns at once and the clock moves between turns.
  if (!events.empty()) doorbell_.awake();
  for (const ring::Event& event : events) dispatch(event);
  for (int count = 0; count < kTimersPerTurn; ++count) {
    const ring::Timer* timer = timers_.pop_due(io_.now());
    if (timer == nullptr) break;
    dispatch({timer->token, {}, {}, 0, ring::EventKind::timer});
  }
  busy_ = run_stages();
}

void Loop::run() {
  while (!stopping()) turn();
}

// The bell keeps ringing until a turn has heard it, so a turn that begins after the flag was set
// does not sleep through it.
void Loop::stop() {
  stop_.store(true, std::memory_order_relaxed);
  io_.ring_doorbell();
}

void Loop::dispatch(const ring::Event& event) {
  const size_t owner = event.token.kind();
  RINGMTA_ASSERT(owner < handlers_.size());
  const Entry& entry = handlers_[owner];
  if (entry.handler == nullptr) {
    // The doorbell needs no owner: the stages look into the mailboxes anyway.
    RINGMTA_ASSERT(event.kind == ring::EventKind::mail);
    return;
  }
  entry.handler(entry.self, event);
}

bool Loop::run_stages() {
  bool more = false;
  for (const auto& [self, stage] : stages_) more = stage(self) || more;
  return more;
}

}  // namespace ringmta::shard
