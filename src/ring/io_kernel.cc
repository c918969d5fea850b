// SPDX-License-Identifier: GPL-3.0-or-later
// The turn: everything asked for since the last one goes to the kernel in one `enter`, which also
// waits; then every completion becomes an Event. This file is the only one that submits.

#include "io_kernel.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <ctime>

namespace ringmta::ring {

namespace {

Monotonic read_monotonic() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return {time.tv_sec * 1'000'000'000 + time.tv_nsec};
}

WallTime read_wall() {
  timespec time{};
  clock_gettime(CLOCK_REALTIME, &time);
  return {time.tv_sec * 1000 + time.tv_nsec / 1'000'000};
}

}  // namespace

Io::Io(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {
  impl_->owner = this;
  now_ = read_monotonic();
  wall_ = read_wall();
}

Io::~Io() = default;

Result<std::unique_ptr<Io>> Io::create(const IoOptions& options) {
  auto impl = std::make_unique<Impl>(options);
  if (Status made = impl->set_up(); !made) return std::unexpected(made.error());
  return std::unique_ptr<Io>(new Io(std::move(impl)));
}

uint64_t Io::random() { return impl_->random.next(); }

std::span<const Event> Io::turn(Monotonic until) {
  Impl& impl = *impl_;
  impl.enable();
  impl.events.clear();
  impl.spent.clear();
  ++counters_.turns;
  impl.rearm();
  impl.deliver_held();
  impl.begin_closing();
  impl.deliver_parked();
  const bool something = !impl.events.empty();
  impl.submit_and_wait(until, !something);
  now_ = read_monotonic();
  wall_ = read_wall();
  impl.reap();
  impl.expire_lingering();
  impl.retry_listeners();
  return impl.events;
}

// A free submission entry; submits what is there when the queue is full.
io_uring_sqe* Io::Impl::entry() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring);
  if (sqe == nullptr) {
    enable();
    io_uring_submit(&ring);
    sqe = io_uring_get_sqe(&ring);
    RINGMTA_ASSERT(sqe != nullptr);
  }
  ++owner->counters_.submissions;
  return sqe;
}

void Io::Impl::submit_and_wait(Monotonic until, bool sleep) {
  const Monotonic need = earliest_need();
  if (need < until) until = need;
  io_uring_cqe* first = nullptr;
  if (sleep && until == Monotonic::never()) {
    io_uring_submit_and_wait(&ring, 1);
    return;
  }
  const int64_t wait_ns = sleep ? until.ns - read_monotonic().ns : 0;
  if (wait_ns <= 0) {
    io_uring_submit_and_get_events(&ring);
    return;
  }
  __kernel_timespec timeout{};
  timeout.tv_sec = wait_ns / 1'000'000'000;
  timeout.tv_nsec = wait_ns % 1'000'000'000;
  io_uring_submit_and_wait_timeout(&ring, &first, 1, &timeout, nullptr);
}

void Io::Impl::reap() {
  if (io_uring_cq_has_overflow(&ring)) ++owner->counters_.completion_overflows;
  unsigned head = 0;
  unsigned seen = 0;
  io_uring_cqe* completion = nullptr;
  io_uring_for_each_cqe(&ring, head, completion) {
    on_completion(*completion);
    ++seen;
  }
  io_uring_cq_advance(&ring, seen);
  owner->counters_.completions += seen;
}

void Io::Impl::on_completion(const io_uring_cqe& completion) {
  const SlotHandle slot = slot_of(completion.user_data);
  const Operation operation = operation_of(completion.user_data);
  switch (operation) {
    case Operation::none:
      return;
    case Operation::accept:
      on_accept(slot.index, completion);
      return;
    case Operation::file:
      on_file(slot, completion.res);
      return;
    case Operation::doorbell:
      events.push_back({options.doorbell, {}, {}, 0, EventKind::mail});
      arm_doorbell();
      return;
    case Operation::datagram_receive:
    case Operation::datagram_send:
    case Operation::datagram_cancel:
      on_datagram_completion(operation, slot, completion);
      return;
    case Operation::receive:
    case Operation::send:
    case Operation::connect:
    case Operation::cancel:
      break;
  }
  Stream& stream = streams.get(slot);  // alive as long as completions are owed
  if (operation == Operation::receive) {
    on_receive(stream, completion);
    return;
  }
  RINGMTA_ASSERT(stream.in_flight > 0);
  --stream.in_flight;
  if (operation == Operation::send) {
    on_send(stream, completion.res);
  } else if (operation == Operation::connect) {
    on_connect(stream, completion.res);
  }
  if (stream.closing) advance_close(stream);
}

// When turn() must come back though nothing was asked of the kernel.
Monotonic Io::Impl::earliest_need() const {
  Monotonic need = Monotonic::never();
  if (const Stream* first = lingering.front(); first != nullptr) need = first->linger_until;
  for (const Listener& listener : listeners) {
    if (listener.retry_at < need) need = listener.retry_at;
  }
  return need;
}

void Io::Impl::push(EventKind kind, const Stream& of, int32_t result, Bytes data) {
  events.push_back({of.token, data, {of.slot.index, of.slot.generation}, result, kind});
}

void Io::Impl::arm_doorbell() {
  io_uring_sqe* sqe = entry();
  io_uring_prep_read(sqe, doorbell_fd, &doorbell_value, sizeof doorbell_value, 0);
  sqe->user_data = user_data(Operation::doorbell, SlotHandle{});
}

void Io::ring_doorbell() { eventfd_write(impl_->doorbell_fd, 1); }

}  // namespace ringmta::ring
