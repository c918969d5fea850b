// SPDX-License-Identifier: GPL-3.0-or-later
// One shard's event loop, in one readable place. A turn is: reap what happened, hand each event to
// its owner, hand out due timers, then run the stages in their order (commit, schedule, flush).
// Owners only record in their handlers; the work that batches well is done once per turn, in the
// stages. That is what turns fifty sessions into one group commit.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "ringmta/ring/io.h"
#include "ringmta/ring/timer_wheel.h"
#include "ringmta/shard/mailbox.h"

namespace ringmta::shard {

// Who an event is for: the kind in its Token.
enum class Owner : uint8_t {
  loop,
  listener,
  server,
  client,
  spool,
  queue,
  events,
  dns,
  http,
  peers,
  test,
  count
};

constexpr uint8_t kind(Owner owner) { return static_cast<uint8_t>(owner); }

class Loop final {
 public:
  using Handler = void (*)(void* self, const ring::Event& event);
  using Stage = bool (*)(void* self);  // true: it has more to do, do not sleep before the next turn

  explicit Loop(ring::Io& io);

  // Wiring, before run(). Stages run in the order they were added.
  void handle(Owner owner, void* self, Handler handler);
  void add_stage(void* self, Stage stage);

  ring::Io& io() { return io_; }
  ring::TimerWheel& timers() { return timers_; }
  Monotonic now() const { return io_.now(); }
  Doorbell& doorbell() { return doorbell_; }

  // One turn; sleeps at most until `until`.
  void turn(Monotonic until = Monotonic::never());
  // Turns until stop(); callable from any thread.
  void run();
  void stop();
  bool stopping() const { return stop_.load(std::memory_order_relaxed); }

 private:
  struct Entry {
    void* self = nullptr;
    Handler handler = nullptr;
  };
  void dispatch(const ring::Event& event);
  bool run_stages();

  ring::Io& io_;
  ring::TimerWheel timers_;
  Doorbell doorbell_;
  std::array<Entry, static_cast<size_t>(Owner::count)> handlers_{};
  std::vector<std::pair<void*, Stage>> stages_;
  bool busy_ = false;
  std::atomic<bool> stop_{false};
};

}  // namespace ringmta::shard
