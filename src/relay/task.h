// SPDX-License-Identifier: GPL-3.0-or-later
// Work of the supervisor's that must be done on a shard's thread: an operator's question, new
// addresses of a smart host, the end. It runs in slices, one a turn, between the shard's own work.
//
// A task is shared by who posted it and the shard, so a poster that has waited long enough may go
// away: the shard finishes the task and drops it.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

#include "exchange.h"
#include "ringmta/base/time.h"

namespace ringmta::relay {

class ShardRelay;

class Task final {
 public:
  using Slice = std::function<bool(ShardRelay&)>;  // true: done

  // Posts `slice` to a shard, from any thread but a shard's.
  static std::shared_ptr<Task> post(Exchange& exchange, ShardId to, Slice slice);
  // Posts and waits; false: the shard did not get to it in time.
  static bool run_on(Exchange& exchange, ShardId shard, Slice slice, Milliseconds at_most);

  bool wait(Milliseconds at_most);

  // The shard's side: takes the letter's pointer over.
  static std::shared_ptr<Task> from_letter(void* what);
  bool run(ShardRelay& relay);  // true: it is done

 private:
  explicit Task(Slice slice) : slice_(std::move(slice)) {}

  Slice slice_;
  std::mutex lock_;
  std::condition_variable changed_;
  bool finished_ = false;
};

}  // namespace ringmta::relay
