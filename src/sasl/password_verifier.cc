// SPDX-License-Identifier: GPL-3.0-or-later
#include "ringmta/sasl/password_verifier.h"

#include <pthread.h>
#include <signal.h>

#include "ringmta/base/wipe.h"

namespace ringmta::sasl {

PasswordCheck::~PasswordCheck() { wipe(password); }

PasswordVerifier::PasswordVerifier(size_t queue_max, bool own_thread) : queue_max_(queue_max) {
  if (!own_thread) return;
  sigset_t all, before;  // inherited by the thread: signals are for others
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

PasswordVerifier::~PasswordVerifier() {
  {
    const std::lock_guard guard(lock_);
    stopping_ = true;
    queue_.clear();
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool PasswordVerifier::submit(std::unique_ptr<PasswordCheck> check, void* self, Done done) {
  if (!thread_.joinable()) {
    verify({std::move(check), self, done});
    return true;
  }
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

void PasswordVerifier::verify(Job job) {
  PasswordCheck& check = *job.check;
  const std::optional<bool> known = cache_.find(check.key);
  check.matches = known ? *known : verify_password(check.password, check.verifier);
  if (!known) cache_.remember(check.key, check.matches);
  wipe(check.password);
  job.done(job.self, std::move(job.check));
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
    verify(std::move(job));
    guard.lock();
    busy_for_ = nullptr;
    changed_.notify_all();
  }
}

}  // namespace ringmta::sasl
