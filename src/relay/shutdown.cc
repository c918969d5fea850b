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
namespace {

constexpr Milliseconds kCutOffMax = seconds(5);  // for the last notes and events

}  // namespace

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

// True: everything in flight is finished. A signal ends the wait, too.
bool Supervisor::wait_until_drained(Milliseconds at_most) {
  const auto clock = [] { return std::chrono::steady_clock::now(); };
  const auto deadline = clock() + std::chrono::milliseconds(at_most.count);
  int quiet = 0;  // twice in a row: a letter may have been on its way at the first look
  while (clock() < deadline) {
    quiet = drained() ? quiet + 1 : 0;
    if (quiet == 2) return true;
    const timespec pause{0, 10'000'000};
    if (sigtimedwait(&signals_, nullptr, &pause) > 0) {
      log(LogLevel::warning, "another signal: what is in flight is left to the next start");
      return false;
    }
  }
  return drained();
}

// Ends intake and lets deliveries finish, for shutdown_max at most. What is still in flight then is
// cut off; how it ended (a recipient that LMTP has already, a content that may have arrived) is
// written down before the shards stop.
void Supervisor::drain() {
  control_.reset();
  on_every_shard([](ShardRelay& relay) {
    relay.begin_stop();
    return true;
  });
  if (wait_until_drained(current_->shutdown_max)) {
    log(LogLevel::info, "everything in flight is finished; what is queued stays in the spool");
    return;
  }
  log(LogLevel::warning,
      "deliveries still in flight are cut off and tried again at the next start");
  on_every_shard([](ShardRelay& relay) {
    relay.abort_sessions();
    return true;
  });
  if (!wait_until_drained(kCutOffMax)) {
    log(LogLevel::error,
        "how they ended could not be written down; what was not, is tried again at the next start");
  }
}

}  // namespace ringmta::relay
