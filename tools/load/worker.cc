// SPDX-License-Identifier: GPL-3.0-or-later
// The thread's life: open the sessions, hand out messages at the wanted rate, try again what was
// refused for now, and end when every message has its outcome.
#include "tools/load/worker.h"

#include <algorithm>
#include <utility>

namespace ringmta::tools {
namespace {

constexpr Milliseconds kTick{1};  // longer: messages at a rate would come in bursts
constexpr Milliseconds kSlowTick{50};
constexpr Milliseconds kReconnectDelay{100};
constexpr Milliseconds kSweepEvery{1000};
constexpr uint32_t kReceiveBuffers = 512;
constexpr uint32_t kReceiveBufferSize = 2048;  // replies are small

}  // namespace

std::vector<std::pair<uint64_t, uint64_t>> LoadState::accepted_ranges() const {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (uint64_t index = 0; index < options.messages; ++index) {
    const uint64_t word = accepted[index / 64].load(std::memory_order_relaxed);
    if ((word >> (index % 64) & 1) == 0) continue;
    if (!ranges.empty() && ranges.back().second + 1 == index) {
      ranges.back().second = index;
    } else {
      ranges.emplace_back(index, index);
    }
  }
  return ranges;
}

Worker::Worker(LoadState& state, uint32_t thread, uint32_t sessions)
    : state_(state), thread_(thread), session_count_(sessions) {}

Worker::~Worker() = default;

Status Worker::run() {
  ring::IoOptions options;
  options.shard = {static_cast<uint16_t>(thread_)};
  options.receive_buffers = kReceiveBuffers;
  options.receive_buffer_size = kReceiveBufferSize;
  options.streams_max = session_count_ * 2 + 64;
  options.doorbell = ring::Token::make(shard::kind(shard::Owner::loop));
  auto io = ring::Io::create(options);
  if (!io) return std::unexpected(io.error());
  io_ = std::move(*io);
  if (state_.options.tls != LoadTls::off) {
    auto context = tls::ClientContext::create({});
    if (!context) return std::unexpected(context.error());
    tls_ = std::move(*context);
  }
  loop_ = std::make_unique<shard::Loop>(*io_);
  loop_->handle(shard::Owner::client, this, on_session_event);
  loop_->handle(shard::Owner::test, this, on_timer);
  started_ = swept_ = io_->now();
  tick_.token = ring::Token::make(shard::kind(shard::Owner::test));
  for (uint32_t i = 0; i < session_count_; ++i)
    sessions_.push_back(std::make_unique<Session>(*this, i));
  for (const auto& session : sessions_) connect(*session);
  on_tick();
  const auto all_gone = [this] {
    return std::all_of(sessions_.begin(), sessions_.end(),
                       [](const auto& session) { return session->gone(); });
  };
  while (true) {
    const bool left = work_left();
    if (all_gone() && (!left || reconnects_.empty())) break;
    loop_->turn();
  }
  loop_->timers().cancel(tick_);
  return {};
}

void Worker::connect(Session& session) {
  const auto& targets = state_.options.targets;
  session.connect(targets[ordinal(session) % targets.size()]);
}

bool Worker::exhausted() const {
  return state_.interrupted.load(std::memory_order_relaxed) ||
         state_.next_index.load(std::memory_order_relaxed) >= state_.options.messages;
}

bool Worker::work_left() const {
  if (in_flight_ > 0 || !exhausted()) return true;
  return !state_.interrupted.load(std::memory_order_relaxed) &&
         (!waiting_.empty() || !again_.empty());
}

// By the rate; those that are tried again do not count.
bool Worker::new_one_due() const {
  if (state_.options.rate <= 0) return true;
  const double elapsed_s = static_cast<double>(now().ns - started_.ns) / 1e9;
  return static_cast<double>(issued_) < elapsed_s * state_.options.rate / state_.options.threads;
}

bool Worker::take_job(Job& job) {
  const bool interrupted = state_.interrupted.load(std::memory_order_relaxed);
  if (interrupted) return false;
  if (!again_.empty()) {
    job = std::move(again_.front());
    again_.pop_front();
    ++in_flight_;
    return true;
  }
  if (!waiting_.empty() && waiting_.front().due <= now()) {
    job = std::move(waiting_.front().job);
    waiting_.pop_front();
    ++in_flight_;
    return true;
  }
  if (!new_one_due()) return false;
  if (state_.next_index.load(std::memory_order_relaxed) >= state_.options.messages) return false;
  const uint64_t index = state_.next_index.fetch_add(1, std::memory_order_relaxed);
  if (index >= state_.options.messages) return false;
  job = Job{};
  job.index = index;
  ++issued_;
  ++in_flight_;
  return true;
}

void Worker::requeue(Job&& job, bool at_once) {
  tally_.retries.add();
  if (at_once) {
    again_.push_back(std::move(job));
  } else {
    waiting_.push_back({now() + Milliseconds{state_.options.retry_delay_ms}, std::move(job)});
  }
}

void Worker::rejected(const Job& job, uint32_t recipients) {
  tally_.recipients_rejected.add(recipients);
  Tally::remember(tally_.rejected_indexes, job.index);
  if (!job.counted) tally_.rejected.add();
}

void Worker::session_closed(Session& session) {
  if (!work_left()) return;
  if (session.trying_since().ns == 0) {
    connect(session);
  } else {
    reconnect_later(session);
  }
}

void Worker::reconnect_later(Session& session) {
  if (now() - session.trying_since() >= seconds(state_.options.connect_patience_s)) {
    session.give_up();
    return;
  }
  reconnects_.push_back({now() + kReconnectDelay, session.number()});
}

std::string_view Worker::date() {
  const int64_t second = io_->wall().ms / 1000;
  if (second != date_second_ || date_.empty()) {
    date_second_ = second;
    date_ = date_text(second);
  }
  return date_;
}

// Looks at everything that no event announces: rate, retries, timeouts, and the end.
void Worker::on_tick() {
  const bool left = work_left();
  if (!reconnects_.empty()) {
    std::vector<Reconnect> due;
    std::erase_if(reconnects_, [&](const Reconnect& reconnect) {
      if (left && reconnect.due > now()) return false;
      due.push_back(reconnect);
      return true;
    });
    for (const Reconnect& reconnect : due) {
      if (left) connect(*sessions_[reconnect.session]);
    }
  }
  const auto something_due = [this] {
    return (state_.options.rate > 0 && new_one_due()) || !again_.empty() || !waiting_.empty();
  };
  // Round and round, so that at a low rate all of them have their turn.
  for (size_t looked = 0; looked < sessions_.size() && (!left || something_due()); ++looked) {
    Session& session = *sessions_[next_session_++ % sessions_.size()];
    if (!session.idle()) continue;
    if (left) {
      session.advance();
    } else {
      session.quit();
    }
  }
  if (now() - swept_ >= kSweepEvery) {
    swept_ = now();
    for (const auto& session : sessions_)
      session->check_timeout(now(), seconds(state_.options.timeout_s));
  }
  loop_->timers().arm(tick_, now() + (state_.options.rate > 0 || !left ? kTick : kSlowTick));
}

void Worker::on_session_event(void* self, const ring::Event& event) {
  auto& worker = *static_cast<Worker*>(self);
  if (event.token.index() < worker.sessions_.size())
    worker.sessions_[event.token.index()]->on_event(event);
}

void Worker::on_timer(void* self, const ring::Event& event) {
  if (event.kind == ring::EventKind::timer) static_cast<Worker*>(self)->on_tick();
}

}  // namespace ringmta::tools
