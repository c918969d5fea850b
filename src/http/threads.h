// SPDX-License-Identifier: GPL-3.0-or-later
// Threads made while one of these lives take no signals: SIGTERM and SIGHUP are for the supervisor
// alone, and a thread inherits its maker's mask.
#pragma once

#include <pthread.h>

#include <csignal>

namespace ringmta::http {

class SignalsBlocked final {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace ringmta::http
