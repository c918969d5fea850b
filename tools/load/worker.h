// SPDX-License-Identifier: GPL-3.0-or-later
// One thread of the load: its ring, its loop, its sessions, and where they get their next message
// from.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ringmta/ring/io.h"
#include "ringmta/shard/loop.h"
#include "tools/load/mail.h"
#include "tools/load/options.h"
#include "tools/load/session.h"
#include "tools/load/tally.h"

namespace ringmta::tools {

// Shared by all threads: hands out message numbers.
struct LoadState {
  LoadState(const LoadOptions& its_options, const MailSource& its_mail)
      : options(its_options), mail(its_mail), accepted((its_options.messages + 63) / 64) {}

  // False: that message was accepted before.
  bool mark_accepted(uint64_t index) {
    const uint64_t bit = uint64_t{1} << (index % 64);
    return (accepted[index / 64].fetch_or(bit, std::memory_order_relaxed) & bit) == 0;
  }
  // Once the threads have ended: the numbers of accepted messages as first and last, inclusive.
  std::vector<std::pair<uint64_t, uint64_t>> accepted_ranges() const;

  const LoadOptions& options;
  const MailSource& mail;
  std::vector<std::atomic<uint64_t>> accepted;  // a bit per message
  std::atomic<uint64_t> next_index{0};
  std::atomic<bool> interrupted{false};  // start no more messages
};

class Worker final {
 public:
  Worker(LoadState& state, uint32_t thread, uint32_t sessions);
  ~Worker();

  // Runs to the end; the thread's main function.
  Status run();
  const Tally& tally() const { return tally_; }

  // For the sessions.
  ring::Io& io() { return *io_; }
  const std::shared_ptr<tls::ClientContext>& tls() const { return tls_; }
  Tally& counts() { return tally_; }
  const LoadOptions& options() const { return state_.options; }
  const MailSource& mail() const { return state_.mail; }
  std::string_view date();
  Monotonic now() const { return io_->now(); }
  bool take_job(Job& job);
  void requeue(Job&& job, bool at_once);
  void finished_job() { --in_flight_; }
  bool mark_accepted(uint64_t index) { return state_.mark_accepted(index); }
  void rejected(const Job& job, uint32_t recipients);
  // Of all sessions of all threads, the how many-th it is.
  uint64_t ordinal(const Session& session) const {
    return session.number() + uint64_t{thread_} * session_count_;
  }
  void session_closed(Session& session);
  void reconnect_later(Session& session);

 private:
  struct Waiting {
    Monotonic due;
    Job job;
  };
  struct Reconnect {
    Monotonic due;
    uint32_t session;
  };

  static void on_session_event(void* self, const ring::Event& event);
  static void on_timer(void* self, const ring::Event& event);
  void on_tick();
  bool exhausted() const;
  bool new_one_due() const;
  bool work_left() const;
  void connect(Session& session);
  void sweep();

  LoadState& state_;
  const uint32_t thread_;
  const uint32_t session_count_;
  std::unique_ptr<ring::Io> io_;
  std::shared_ptr<tls::ClientContext> tls_;  // null: in the clear
  std::unique_ptr<shard::Loop> loop_;
  std::vector<std::unique_ptr<Session>> sessions_;
  std::deque<Waiting>
      waiting_;            // refused for now; all wait equally long, so this is in order of time
  std::deque<Job> again_;  // lost before their data was sent
  std::vector<Reconnect> reconnects_;
  size_t next_session_ = 0;  // whose turn it is to be given work, when there is not enough for all
  uint64_t in_flight_ = 0;
  uint64_t issued_ = 0;
  Monotonic started_{};
  Monotonic swept_{};
  int64_t date_second_ = 0;
  std::string date_;
  ring::Timer tick_;
  Tally tally_;
};

}  // namespace ringmta::tools
