// SPDX-License-Identifier: GPL-3.0-or-later
// The thread on which passwords are verified. A derivation takes ten milliseconds; on a shard's
// thread it would hold up a hundred messages.
//
// The queue is bounded: who floods the relay with log-ins gets "try again later" for them, and mail
// goes on. A crowd of sessions that log in as one user at once costs one derivation: the thread
// remembers what it has verified.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "ringmta/sasl/credential_cache.h"
#include "ringmta/sasl/users.h"

namespace ringmta::sasl {

struct PasswordCheck {
  std::string password;  // prepared; wiped when it was looked at
  ScramVerifier verifier;
  CredentialCache::Key key{};  // of both
  uint64_t tag = 0;            // the asker's
  bool matches = false;        // the answer
  ~PasswordCheck();
};

class PasswordVerifier final {
 public:
  static constexpr size_t kQueueDefault = 1024;
  // Called on the verifying thread.
  using Done = void (*)(void* self, std::unique_ptr<PasswordCheck> check);

  // Without a thread submit() does the work at once: for tests that must not depend on timing.
  explicit PasswordVerifier(size_t queue_max = kQueueDefault, bool own_thread = true);
  ~PasswordVerifier();  // what waits is dropped without an answer

  // From any thread. False: the queue is full, nothing will come of it.
  bool submit(std::unique_ptr<PasswordCheck> check, void* self, Done done);
  // Drops what `self` waits for; after it no Done is called for it, nor is one running.
  void forget(void* self);

 private:
  struct Job {
    std::unique_ptr<PasswordCheck> check;
    void* self = nullptr;
    Done done = nullptr;
  };
  void run();
  void verify(Job job);

  const size_t queue_max_;
  std::mutex lock_;
  std::condition_variable changed_;
  std::deque<Job> queue_;
  void* busy_for_ = nullptr;  // whose check is being made
  bool stopping_ = false;
  CredentialCache cache_;  // the thread's own
  std::thread thread_;
};

}  // namespace ringmta::sasl
