// SPDX-License-Identifier: GPL-3.0-or-later
// Posting a task and waiting for its end.

#include "task.h"

#include <chrono>

namespace ringmta::relay {

std::shared_ptr<Task> Task::post(Exchange& exchange, ShardId to, Slice slice) {
  std::shared_ptr<Task> task(new Task(std::move(slice)));
  exchange.post_from_outside(to, {Letter::Kind::task, new std::shared_ptr<Task>(task)});
  return task;
}

bool Task::run_on(Exchange& exchange, ShardId shard, Slice slice, Milliseconds at_most) {
  return post(exchange, shard, std::move(slice))->wait(at_most);
}

bool Task::wait(Milliseconds at_most) {
  std::unique_lock guard(lock_);
  return changed_.wait_for(guard, std::chrono::milliseconds(at_most.count),
                           [this] { return finished_; });
}

std::shared_ptr<Task> Task::from_letter(void* what) {
  const std::unique_ptr<std::shared_ptr<Task>> owned(static_cast<std::shared_ptr<Task>*>(what));
  return *owned;
}

bool Task::run(ShardRelay& relay) {
  if (!slice_(relay)) return false;
  const std::lock_guard guard(lock_);
  finished_ = true;
  changed_.notify_all();
  return true;
}

}  // namespace ringmta::relay
