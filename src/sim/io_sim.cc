// SPDX-License-Identifier: GPL-3.0-or-later
// The turn of a simulated Io, its birth, its orderly end and its sudden death.
#include "io_sim.h"

#include <algorithm>

namespace ringmta::ring {

Io::Impl::Impl(const IoOptions& chosen, sim::World::Impl& in)
    : options(chosen),
      world(in),
      id(in.ios_made++),
      random(chosen.random_seed != 0 ? chosen.random_seed : in.random.next()),
      streams(chosen.streams_max),
      datagrams(chosen.datagrams_max),
      file_operations(UINT32_MAX) {
  world.ios.push_back(this);
}

Io::Impl::~Impl() {
  if (!dead) die(sim::Crash::process);
  std::erase(world.ios, this);
}

// The end of the process as its peers and files see it.
void Io::Impl::die(sim::Crash kind) {
  if (dead) return;
  dead = true;
  for (Listener& listener : listeners) {
    close_listener(listener);
  }
  streams.for_each([&](Stream& stream, SlotHandle slot) {
    leave_connection(stream, true);
    stream.link.unlink();
    streams.release(slot);
  });
  datagrams.for_each([&](Datagram&, SlotHandle slot) { datagrams.release(slot); });
  datagrams_arrived.clear();
  file_operations.for_each([&](FileOperation& operation, SlotHandle slot) {
    if (operation.kind == sim::DiskOperation::write) {
      // It may have reached the disk or not; what a power failure leaves of it is decided there.
      // Nobody was told that it is durable, so it is not.
      operation.durability = Durability::none;
      if (kind == sim::Crash::power || world.random.below(2) == 0) perform(operation);
    }
    file_operations.release(slot);
  });
  files.clear();
  queued.clear();
}

Io::Io(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {
  impl_->owner = this;
  const sim::World& world = sim::World::current();
  now_ = world.now();
  wall_ = world.wall();
}

Io::~Io() = default;

Result<std::unique_ptr<Io>> Io::create(const IoOptions& options) {
  auto impl = std::make_unique<Impl>(options, sim::World::current().impl());
  return std::unique_ptr<Io>(new Io(std::move(impl)));
}

uint64_t Io::random() { return impl_->random.next(); }
uint64_t Io::secure_random() { return impl_->random.next(); }  // a secret only from who has no seed

std::string Io::features() const { return "simulated"; }

void Io::ring_doorbell() { impl_->rung = true; }

std::span<const Event> Io::turn(Monotonic until) {
  Impl& impl = *impl_;
  impl.world.run_due();
  impl.events.clear();
  impl.spent.clear();
  ++counters_.turns;
  now_ = impl.world.now;
  wall_ = sim::World::current().wall();
  if (impl.dead) return {};
  impl.until = until;
  impl.receive_buffers_left =
      std::min(impl.options.receive_buffers, impl.world.options.network.receive_buffers_max);
  impl.accept_waiting();
  impl.tell_queued();
  if (impl.rung) {
    impl.rung = false;
    impl.events.push_back({impl.options.doorbell, {}, {}, 0, EventKind::mail});
  }
  impl.tell_datagrams();
  IntrusiveList<Stream, &Stream::link> telling;
  while (Stream* stream = impl.ready.pop_front()) telling.push_back(*stream);
  while (Stream* stream = telling.pop_front()) {
    if (impl.overflows()) {
      impl.ready.push_back(*stream);
    } else {
      impl.tell(*stream);
    }
  }
  if (impl.overflows()) {
    ++counters_.completion_overflows;
    ++impl.world.faults_struck["the completion queue overflows"];
  }
  impl.empty_turns = impl.events.empty() ? impl.empty_turns + 1 : 0;
  counters_.completions += impl.events.size();
  for (const Event& event : impl.events) {
    impl.world.note(static_cast<uint64_t>(now_.ns));
    impl.world.note(static_cast<uint64_t>(event.kind) << 32 | impl.id);
    impl.world.note(event.token.value);
    impl.world.note(static_cast<uint32_t>(event.result));
    impl.world.note(std::hash<std::string_view>{}(as_text(event.data)));
  }
  return impl.events;
}

// A shard sleeps only after two empty turns: the stages that ran after the first one may have left
// work for stages before them.
bool Io::Impl::runnable() const {
  if (dead) return false;
  if (until <= world.now || empty_turns < 2 || rung || !queued.empty() || !ready.empty() ||
      !datagrams_arrived.empty()) {
    return true;
  }
  return std::any_of(listeners.begin(), listeners.end(),
                     [&](const Listener& listener) { return accepts(listener); });
}

void Io::Impl::tell_queued() {
  const size_t count = std::min<size_t>(queued.size(), world.options.network.completions_max);
  const auto end = queued.begin() + static_cast<ptrdiff_t>(count);
  events.insert(events.end(), queued.begin(), end);
  queued.erase(queued.begin(), end);
}

void Io::Impl::push(EventKind kind, const Stream& of, int32_t result, Bytes data) {
  events.push_back({of.token, data, {of.slot.index, of.slot.generation}, result, kind});
}

void Io::Impl::make_ready(Stream& stream) {
  if (!stream.link.linked()) ready.push_back(stream);
}

void Io::Impl::tell(Stream& stream) {
  if (stream.connect_done) {
    stream.connect_done = false;
    stream.connecting = false;
    stream.failed = stream.connect_result != 0;
    if (!stream.closing) push(EventKind::connected, stream, stream.connect_result);
  }
  const bool received_first = world.random.below(4) == 0;
  if (received_first) tell_received(stream);
  if (stream.send_done) {
    stream.send_done = false;
    stream.sending = false;
    push(EventKind::sent, stream, stream.send_result);
  }
  if (!received_first) tell_received(stream);
  if (stream.closing && !stream.gone) advance_close(stream);
  if (stream.gone) {
    push(EventKind::closed, stream, 0);
    stream.link.unlink();
    streams.release(stream.slot);
  }
}

void Io::Impl::tell_received(Stream& stream) {
  if (!stream.wants_receive || stream.closing || stream.connecting || stream.failed) return;
  if (!stream.held.empty()) {
    spent.push_back(std::move(stream.held));
    stream.held.clear();
    push(EventKind::received, stream, static_cast<int32_t>(spent.back().size()), spent.back());
  }
  sim::Side& side = stream.mine();
  while (!side.arrived.empty()) {
    if (receive_buffers_left == 0) {
      ++owner->counters_.receive_buffers_exhausted;
      ++world.faults_struck["no receive buffer"];
      make_ready(stream);
      return;
    }
    --receive_buffers_left;
    std::vector<std::byte>& segment = side.arrived.front();
    const size_t length = std::min<size_t>(segment.size(), options.receive_buffer_size);
    spent.emplace_back(segment.begin(), segment.begin() + static_cast<ptrdiff_t>(length));
    push(EventKind::received, stream, static_cast<int32_t>(length), spent.back());
    ++owner->counters_.receives;
    owner->counters_.received_octets += length;
    take_arrived(stream, length);
  }
  if ((side.end_arrived || side.error != 0) && !stream.ended_told) {
    stream.ended_told = true;
    push(EventKind::ended, stream, side.error);
  }
}

}  // namespace ringmta::ring
