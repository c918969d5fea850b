// SPDX-License-Identifier: GPL-3.0-or-later
// The supervisor's life between start and end: signals, and the end of what is in flight.
#include <signal.h>
#include <systemd/sd-daemon.h>

#include <chrono>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>

#include "ringmta/base/log.h"
#include "supervisor.h"

namespace ringmta::relay {

void Supervisor::wait_for_end() {
  for (;;) {
    int number = 0;
    if (sigwait(&signals_, &number) != 0) continue;
    if (number != SIGHUP) {
      log(LogLevel::info, "{}: finishing what is in flight", strsignal(number));
      break;
    }
    log(LogLevel::info, "SIGHUP: the configuration is read and the event file opened anew");
    reload();
    on_every_shard([](ShardRelay& relay) {
      relay.reopen_events();
      return true;
    });
  }
  sd_notify(0, "STOPPING=1");
  drain();
}

bool Supervisor::drained() {
  auto all = std::make_shared<std::atomic<bool>>(true);
  const bool answered = on_every_shard([all](ShardRelay& relay) {
    if (!relay.drained()) all->store(false);
    return true;
  });
  return answered && all->load();
}

// Ends intake and lets deliveries finish, for shutdown_max at most; then only what must be on disk
// is waited for. A second signal cuts it short.
void Supervisor::drain() {
  control_.reset();
  on_every_shard([](ShardRelay& relay) {
    relay.begin_stop();
    return true;
  });
  const auto clock = [] { return std::chrono::steady_clock::now(); };
  const auto deadline = clock() + std::chrono::milliseconds(current_->shutdown_max.count);
  int quiet = 0;  // twice in a row: a letter may have been on its way at the first look
  while (quiet < 2 && clock() < deadline) {
    quiet = drained() ? quiet + 1 : 0;
    if (quiet >= 2) break;
    const timespec pause{0, 10'000'000};
    if (sigtimedwait(&signals_, nullptr, &pause) > 0) {
      log(LogLevel::warning, "second signal: what is in flight is left to the next start");
      return;
    }
  }
  if (quiet >= 2) {
    log(LogLevel::info, "everything in flight is finished; what is queued stays in the spool");
    return;
  }
  log(LogLevel::warning,
      "shutdown_max is over: deliveries still in flight are tried again at the next start");
  on_every_shard([](ShardRelay& relay) {
    relay.abort_sessions();
    return true;
  });
}

}  // namespace ringmta::relay
