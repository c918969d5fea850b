// SPDX-License-Identifier: GPL-3.0-or-later
// ringmta-load: makes mail and sends it, to find out what a server can take and whether it keeps
// what it took. The main thread only watches: it prints the progress line, heeds signals and sums
// up.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "tools/common/process.h"
#include "tools/load/options.h"
#include "tools/load/report.h"
#include "tools/load/worker.h"

namespace ringmta::tools {
namespace {

struct Thread {
  std::unique_ptr<Worker> worker;
  std::thread thread;
  Status status;
};

// On a terminal one line that renews itself each second; into a file or pipe a new line now and
// then.
struct Progress {
  bool wanted = false;
  bool terminal = false;
  uint64_t every_ns = 0;
};

void print_progress(const Progress& progress, const std::vector<Thread>& threads, uint64_t messages,
                    double elapsed_s, uint64_t& before, double& before_s) {
  uint64_t accepted = 0;
  uint64_t rejected = 0;
  uint64_t unknown = 0;
  for (const Thread& thread : threads) {
    accepted += thread.worker->tally().accepted.get();
    rejected += thread.worker->tally().rejected.get();
    unknown += thread.worker->tally().unknown.get();
  }
  const double rate = static_cast<double>(accepted - before) / std::max(elapsed_s - before_s, 1e-3);
  const double share =
      messages == 0 ? 100 : 100.0 * static_cast<double>(accepted) / static_cast<double>(messages);
  std::string line = fmt::format("{:6.1f} s  {:9} accepted ({:5.1f} %)  {:8.0f}/s", elapsed_s,
                                 accepted, share, rate);
  if (rejected > 0) line += fmt::format("  {} rejected", rejected);
  if (unknown > 0) line += fmt::format("  {} unknown", unknown);
  fmt::print(stderr, "{}{}{}", progress.terminal ? "\r" : "", line,
             progress.terminal ? "   " : "\n");
  std::fflush(stderr);
  before = accepted;
  before_s = elapsed_s;
}

// Until all threads have ended: a progress line each second, and ^C once to finish, twice to leave.
void watch(LoadState& state, const std::vector<Thread>& threads,
           const std::atomic<uint32_t>& running, const sigset_t& signals, uint64_t started_ns,
           const Progress& progress) {
  uint64_t before = 0;
  double before_s = 0;
  uint64_t next_ns = started_ns + progress.every_ns;
  while (running.load(std::memory_order_acquire) > 0) {
    const timespec wait{0, 20'000'000};
    const int signal = sigtimedwait(&signals, nullptr, &wait);
    if (signal == SIGINT || signal == SIGTERM) {
      if (state.interrupted.exchange(true)) _exit(130);
      fmt::print(stderr,
                 "\nringmta-load: finishing what is under way; once more to leave at once\n");
    }
    const uint64_t now_ns = monotonic_ns();
    if (progress.wanted && now_ns >= next_ns) {
      next_ns += progress.every_ns;
      print_progress(progress, threads, state.options.messages,
                     static_cast<double>(now_ns - started_ns) / 1e9, before, before_s);
    }
  }
  if (progress.wanted && progress.terminal) fmt::print(stderr, "\r{:79}\r", "");
}

std::string made_up_run() {
  std::random_device device;
  return fmt::format("{:08x}", device());
}

int run(LoadOptions options) {
  if (options.mail.run == "run") options.mail.run = made_up_run();
  auto source = MailSource::create(options.mail);
  if (!source) {
    fmt::print(stderr, "ringmta-load: {}\n", source.error().message);
    return 2;
  }
  if (source->from_files() && !options.messages_given) options.messages = source->template_count();
  options.sessions =
      static_cast<uint32_t>(std::clamp<uint64_t>(options.messages, 1, options.sessions));
  options.threads = std::min(options.threads, options.sessions);
  if (const uint64_t limit = raise_open_files_limit(); limit < options.sessions + 100U) {
    fmt::print(stderr,
               "ringmta-load: {} sessions need as many open files, the limit is {}; raise it with "
               "ulimit -Hn\n",
               options.sessions, limit);
    return 2;
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);

  LoadState state(options, *source);
  std::vector<Thread> threads(options.threads);
  std::atomic<uint32_t> running{options.threads};
  const CpuTimes cpu_before = process_cpu_times();
  const uint64_t started_ns = monotonic_ns();
  for (uint32_t i = 0; i < options.threads; ++i) {
    const uint32_t sessions =
        options.sessions / options.threads + (i < options.sessions % options.threads ? 1 : 0);
    threads[i].worker = std::make_unique<Worker>(state, i, sessions);
  }
  for (Thread& thread : threads) {
    thread.thread = std::thread([&thread, &running] {
      thread.status = thread.worker->run();
      running.fetch_sub(1, std::memory_order_release);
    });
  }
  const bool terminal = isatty(STDERR_FILENO) != 0;
  const Progress progress{!options.quiet, terminal, terminal ? 1'000'000'000U : 5'000'000'000U};
  watch(state, threads, running, signals, started_ns, progress);
  for (Thread& thread : threads) thread.thread.join();

  auto result = std::make_unique<LoadResult>();
  result->messages = options.messages;
  for (const Thread& thread : threads) {
    if (!thread.status) {
      fmt::print(stderr, "ringmta-load: {}\n", thread.status.error().message);
      return 2;
    }
    result->add(thread.worker->tally());
  }
  result->accepted_ranges = state.accepted_ranges();
  const CpuTimes cpu = process_cpu_times();
  result->cpu = {cpu.user_s - cpu_before.user_s, cpu.system_s - cpu_before.system_s};
  const uint64_t ended_ns =
      result->last_accepted_ns > started_ns ? result->last_accepted_ns : monotonic_ns();
  result->seconds = static_cast<double>(ended_ns - started_ns) / 1e9;
  if (options.json) fmt::print("{}\n", summary_json(*result, options, source->run()));
  if (!options.quiet) fmt::print(options.json ? stderr : stdout, "{}", summary_text(*result));
  return result->complete() ? 0 : 1;
}

}  // namespace
}  // namespace ringmta::tools

int main(int argc, char** argv) {
  auto parsed = ringmta::tools::parse_load_options(argc, argv);
  if (!parsed.run) return parsed.exit_code;
  return ringmta::tools::run(std::move(parsed.options));
}
