// SPDX-License-Identifier: GPL-3.0-or-later
// The timer wheel with many timers armed: moving one (what every command of a session does), asking
// for the next (once per turn), and turning through time.
#include <benchmark/benchmark.h>

#include <vector>

#include "ringmta/base/prng.h"
#include "ringmta/ring/timer_wheel.h"

namespace {

using ringmta::Milliseconds;
using ringmta::Monotonic;
using ringmta::Prng;
using ringmta::ring::Timer;
using ringmta::ring::TimerWheel;

constexpr Monotonic kStart{1'000'000'000};

// Deadlines as sessions have them: within five minutes.
Monotonic deadline(Prng& prng, Monotonic now) {
  return now + Milliseconds{static_cast<int64_t>(prng.below(300'000))};
}

struct Armed {
  explicit Armed(size_t count) : timers(count) {
    for (Timer& timer : timers) wheel.arm(timer, deadline(prng, kStart));
  }
  Prng prng{1};
  TimerWheel wheel{kStart};
  std::vector<Timer> timers;
};

void timer_move(benchmark::State& state) {
  Armed armed(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    Timer& timer = armed.timers[armed.prng.below(armed.timers.size())];
    armed.wheel.arm(timer, deadline(armed.prng, kStart));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(timer_move)->Arg(1'000)->Arg(100'000)->Arg(1'000'000);

void timer_next_due(benchmark::State& state) {
  Armed armed(static_cast<size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(armed.wheel.next_due());
}
BENCHMARK(timer_next_due)->Arg(0)->Arg(10)->Arg(100'000);

// One millisecond of time a turn; what fires is armed again.
void timer_turn(benchmark::State& state) {
  Armed armed(static_cast<size_t>(state.range(0)));
  Monotonic now = kStart;
  int64_t fired = 0;
  for (auto _ : state) {
    now = now + Milliseconds{1};
    while (Timer* timer = armed.wheel.pop_due(now)) {
      armed.wheel.arm(*timer, deadline(armed.prng, now));
      ++fired;
    }
  }
  state.counters["fired_per_turn"] =
      static_cast<double>(fired) / static_cast<double>(state.iterations());
}
BENCHMARK(timer_turn)->Arg(1'000)->Arg(100'000);

}  // namespace

BENCHMARK_MAIN();
