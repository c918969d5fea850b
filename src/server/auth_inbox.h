// SPDX-License-Identifier: GPL-3.0-or-later
// Where the verifying thread puts its answers for one shard. The shard looks only when the flag
// says so; the lock is held for the length of a push.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "ringmta/sasl/password_verifier.h"
#include "ringmta/shard/loop.h"

namespace ringmta::server {

class AuthInbox final {
 public:
  explicit AuthInbox(shard::Loop& loop) : loop_(loop) {}

  // On the verifying thread.
  static void deliver(void* self, std::unique_ptr<sasl::PasswordCheck> check) {
    auto& inbox = *static_cast<AuthInbox*>(self);
    {
      const std::lock_guard guard(inbox.lock_);
      inbox.checks_.push_back(std::move(check));
      inbox.waiting_.store(true, std::memory_order_release);
    }
    if (inbox.loop_.doorbell().must_ring()) inbox.loop_.io().ring_doorbell();
  }
  // On the shard's.
  bool waiting() const { return waiting_.load(std::memory_order_acquire); }
  std::vector<std::unique_ptr<sasl::PasswordCheck>> take() {
    const std::lock_guard guard(lock_);
    waiting_.store(false, std::memory_order_relaxed);
    return std::exchange(checks_, {});
  }

 private:
  shard::Loop& loop_;
  std::mutex lock_;
  std::vector<std::unique_ptr<sasl::PasswordCheck>> checks_;
  std::atomic<bool> waiting_{false};
};

}  // namespace ringmta::server
