// SPDX-License-Identifier: GPL-3.0-or-later
#include "ringmta/sasl/password_verifier.h"

#include <pthread.h>

#include "ringmta/base/wipe.h"

namespace ringmta::sasl {

PasswordCheck::~PasswordCheck() { wipe(password); }

PasswordVerifier::PasswordVerifier(size_t queue_max)
    : queue_max_(queue_max), thread_([this] { run(); }) {}

PasswordVerifier::~PasswordVerifier() {
  {
    const std::lock_guard guard(lock_);
    stopping_ = true;
    queue_.clear();
  }
  changed_.notify_all();
  thread_.join();
}

bool PasswordVerifier::submit(std::unique_ptr<PasswordCheck> check, void* self, Done done) {
  {
    const std::lock_guard guard(lock_);
    if (stopping_ || queue_.size() >= queue_max_) return false;
    queue_.push_back({std::move(check), self, done});
  }
  changed_.notify_all();
  return true;
}

void PasswordVerifier::forget(void* self) {
  std::unique_lock guard(lock_);
  std::erase_if(queue_, [self](const Job& job) { return job.self == self; });
  changed_.wait(guard, [&] { return busy_for_ != self; });
}

void PasswordVerifier::run() {
  pthread_setname_np(pthread_self(), "passwords");
  std::unique_lock guard(lock_);
  for (;;) {
    changed_.wait(guard, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    Job job = std::move(queue_.front());
    queue_.pop_front();
    busy_for_ = job.self;
    guard.unlock();
    PasswordCheck& check = *job.check;
    const std::optional<bool> known = cache_.find(check.key);
    check.matches = known ? *known : verify_password(check.password, check.verifier);
    if (!known) cache_.remember(check.key, check.matches);
    wipe(check.password);
    job.done(job.self, std::move(job.check));
    guard.lock();
    busy_for_ = nullptr;
    changed_.notify_all();
  }
}

}  // namespace ringmta::sasl
