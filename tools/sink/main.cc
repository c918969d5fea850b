// SPDX-License-Identifier: GPL-3.0-or-later
// ringmta-sink: the other end of the relay in tests and measurements. The main thread starts the
// others, then only watches for signals and for the moment to leave.
#include <fmt/format.h>
#include <signal.h>

#include <cstdio>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "tools/common/process.h"
#include "tools/sink/options.h"
#include "tools/sink/report.h"
#include "tools/sink/worker.h"

namespace ringmta::tools {
namespace {

using Listening = Result<std::vector<SocketAddress>>;

class Sink final {
 public:
  Sink(const SinkOptions& options, const RuleSet& rules, const SinkAuth* auth)
      : state_{options, rules} {
    state_.auth = auth;
    state_.ticket_keys.rotate();
    state_.listeners = std::make_unique<ListenerCounts[]>(options.listeners.size());
  }
  ~Sink() { join(); }

  Status start();
  // Until a signal, the wanted number of deliveries, or idleness.
  Status watch(const sigset_t& signals);
  int leave();

 private:
  Status start_worker(const std::vector<SocketAddress>& addresses);
  SinkReport report() const { return make_report(state_, workers_, addresses_, cpu_at_start_); }
  void join();

  SinkState state_;
  std::vector<std::unique_ptr<SinkWorker>> workers_;
  std::vector<std::thread> threads_;
  std::vector<SocketAddress> addresses_;
  CpuTimes cpu_at_start_ = process_cpu_times();
};

// A ring belongs to the thread that made it, so the thread does everything; it tells here how
// listening went.
Status Sink::start_worker(const std::vector<SocketAddress>& addresses) {
  auto worker = std::make_unique<SinkWorker>(state_, static_cast<uint32_t>(workers_.size()));
  std::promise<Listening> promise;
  auto listening = promise.get_future();
  threads_.emplace_back([worker = worker.get(), addresses, promise = std::move(promise)]() mutable {
    auto result = worker->listen(addresses);
    const bool good = result.has_value();
    promise.set_value(std::move(result));
    if (good) worker->run();
  });
  Listening result = listening.get();
  if (!result) return std::unexpected(result.error());
  workers_.push_back(std::move(worker));
  addresses_ = std::move(*result);
  return {};
}

Status Sink::start() {
  // The first thread finds the ports where 0 was asked for; the others share them.
  for (uint32_t i = 0; i < state_.options.threads; ++i) {
    if (auto status = start_worker(i == 0 ? state_.options.listeners : addresses_); !status)
      return status;
  }
  if (state_.options.ready_file.empty()) return {};
  std::string lines;
  for (const SocketAddress& address : addresses_) lines += address.text() + "\n";
  return write_whole_file(state_.options.ready_file, lines);
}

Status Sink::watch(const sigset_t& signals) {
  const SinkOptions& options = state_.options;
  uint64_t deliveries = 0;
  uint64_t changed_ns = monotonic_ns();
  while (true) {
    const timespec wait{0, 20'000'000};
    const int signal = sigtimedwait(&signals, nullptr, &wait);
    if (signal == SIGINT || signal == SIGTERM) return {};
    if (signal == SIGUSR1 && !options.report_file.empty()) {
      if (auto status = write_whole_file(options.report_file, report().json + "\n"); !status)
        return status;
    }
    const uint64_t now_ns = monotonic_ns();
    const uint64_t before = std::exchange(deliveries, deliveries_of(workers_));
    if (deliveries != before) changed_ns = now_ns;
    if (options.deliveries > 0 && deliveries >= options.deliveries) return {};
    const double idle_s = static_cast<double>(now_ns - changed_ns) / 1e9;
    if (options.idle_s > 0 && deliveries > 0 && idle_s >= options.idle_s) return {};
  }
}

void Sink::join() {
  for (const auto& worker : workers_) worker->stop();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

int Sink::leave() {
  join();
  const SinkReport last = report();
  const SinkOptions& options = state_.options;
  if (options.json) fmt::print("{}\n", last.json);
  if (!options.quiet) fmt::print(options.json ? stderr : stdout, "{}", last.text);
  if (!options.report_file.empty()) {
    if (const auto status = write_whole_file(options.report_file, last.json + "\n"); !status) {
      fmt::print(stderr, "ringmta-sink: {}\n", status.error().message);
      return 2;
    }
  }
  return last.clean ? 0 : 1;
}

int run(const SinkOptions& options) {
  const auto complain = [](const Error& error) {
    fmt::print(stderr, "ringmta-sink: {}\n", error.message);
    return 2;
  };
  RuleSet rules;
  if (!options.replies.empty()) {
    auto loaded = RuleSet::load(options.replies);
    if (!loaded) return complain(loaded.error());
    rules = std::move(*loaded);
  }
  SinkAuth auth;
  if (!options.auth.empty()) {
    auto read = SinkAuth::read(options.auth);
    if (!read) return complain(read.error());
    auth = std::move(*read);
  }
  raise_open_files_limit();
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  Sink sink(options, rules, options.auth.empty() ? nullptr : &auth);
  if (const auto status = sink.start(); !status) return complain(status.error());
  if (const auto status = sink.watch(signals); !status) return complain(status.error());
  return sink.leave();
}

}  // namespace
}  // namespace ringmta::tools

int main(int argc, char** argv) {
  const auto parsed = ringmta::tools::parse_sink_options(argc, argv);
  if (!parsed.run) return parsed.exit_code;
  return ringmta::tools::run(parsed.options);
}
