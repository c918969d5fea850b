// SPDX-License-Identifier: GPL-3.0-or-later
// The clock, who runs next, and the faults a test asks for.
#include "ringmta/sim/world.h"

#include <algorithm>

#include "io_sim.h"
#include "world_impl.h"

namespace ringmta::sim {
namespace {

// More steps than this without time passing means that a shard never goes to sleep.
constexpr uint64_t kStepsAtOneTimeMax = 10'000'000;

thread_local World* current_world = nullptr;

void set_listed(std::vector<SocketAddress>& list, const SocketAddress& peer, bool listed) {
  std::erase(list, peer);
  if (listed) list.push_back(peer);
}

}  // namespace

World::Impl::Impl(const WorldOptions& chosen)
    : options(chosen), random(chosen.seed), files(~chosen.seed) {}

bool World::Impl::later(const Scheduled& a, const Scheduled& b) {
  return a.at != b.at ? a.at > b.at : a.sequence > b.sequence;
}

void World::Impl::schedule(Monotonic at, std::function<void()> action) {
  scheduled_.push_back({std::max(at, now), sequence_++, std::move(action)});
  std::push_heap(scheduled_.begin(), scheduled_.end(), later);
}

void World::Impl::run_due() {
  while (!scheduled_.empty() && scheduled_.front().at <= now) {
    std::pop_heap(scheduled_.begin(), scheduled_.end(), later);
    const std::function<void()> action = std::move(scheduled_.back().action);
    scheduled_.pop_back();
    action();
  }
}

bool World::Impl::advance(Monotonic limit) {
  Monotonic next = scheduled_.empty() ? Monotonic::never() : scheduled_.front().at;
  for (const ring::Io::Impl* io : ios) {
    if (!io->dead && io->until > now) next = std::min(next, io->until);
  }
  const bool found = next != Monotonic::never() && next <= limit;
  if (found) {
    now = std::max(now, next);
  } else if (limit != Monotonic::never()) {
    now = std::max(now, limit);
  }
  steps_at_this_time = 0;
  run_due();
  return found;
}

Monotonic World::Impl::after_latency(int64_t us_min, int64_t us_max) {
  const auto spread = static_cast<uint64_t>(std::max<int64_t>(us_max - us_min, 0)) * 1000;
  return {now.ns + us_min * 1000 + static_cast<int64_t>(random.below(spread + 1))};
}

void World::Impl::note(uint64_t value) {
  trace = (trace ^ value) * 0x9E3779B97F4A7C15ULL;
  trace ^= trace >> 32;
}

ring::Io::Impl* World::Impl::find_io(uint32_t id) const {
  const auto found =
      std::find_if(ios.begin(), ios.end(), [&](const auto* io) { return io->id == id; });
  return found == ios.end() ? nullptr : *found;
}

// The fault that strikes this operation. All that match count it, the first that is due is used up.
std::optional<DiskFault> World::Impl::strike(DiskOperation operation, const std::string& path) {
  std::optional<DiskFault> struck;
  for (auto fault = faults.begin(); fault != faults.end();) {
    const bool matches =
        fault->operation == operation && path.find(fault->path_contains) != std::string::npos;
    if (matches && fault->nth > 1)
      --fault->nth;
    else if (matches && !struck) {
      struck = *fault;
      fault = faults.erase(fault);
      continue;
    }
    ++fault;
  }
  return struck;
}

World::World(const WorldOptions& options) : impl_(std::make_unique<Impl>(options)) {
  RINGMTA_ASSERT(current_world == nullptr);
  current_world = this;
}

World::~World() {
  RINGMTA_ASSERT(impl_->ios.empty());
  current_world = nullptr;
}

World& World::current() {
  RINGMTA_ASSERT(current_world != nullptr);
  return *current_world;
}

Monotonic World::now() const { return impl_->now; }
WallTime World::wall() const { return impl_->options.wall + (impl_->now - impl_->start); }
void World::step_wall_clock(Milliseconds by) { impl_->options.wall = impl_->options.wall + by; }
uint64_t World::random() { return impl_->random.next(); }
uint64_t World::trace() const { return impl_->trace; }

void World::drive(ring::Io& io, void* self, Turn turn) {
  io.impl().driver_self = self;
  io.impl().driver = turn;
}

bool World::step(Monotonic limit) {
  impl_->run_due();
  uint64_t candidates = 0;
  for (const ring::Io::Impl* io : impl_->ios) {
    if (io->driver != nullptr && io->runnable()) ++candidates;
  }
  if (candidates == 0) return advance(limit);
  ++impl_->steps_at_this_time;
  RINGMTA_ASSERT(impl_->steps_at_this_time < kStepsAtOneTimeMax);
  uint64_t chosen = impl_->random.below(candidates);
  for (const ring::Io::Impl* io : impl_->ios) {
    if (io->driver == nullptr || !io->runnable()) continue;
    if (chosen-- > 0) continue;
    io->driver(io->driver_self);
    break;
  }
  return true;
}

bool World::advance(Monotonic limit) { return impl_->advance(limit); }

NetworkOptions& World::network() { return impl_->options.network; }
DiskOptions& World::disk() { return impl_->options.disk; }

void World::refuse(const SocketAddress& peer, bool refused) {
  set_listed(impl_->refused, peer, refused);
}

void World::make_unroutable(const SocketAddress& peer, bool unroutable) {
  set_listed(impl_->unroutable, peer, unroutable);
}

void World::make_unreachable(const SocketAddress& peer, bool silent) {
  set_listed(impl_->unreachable, peer, silent);
}

void World::reset_after(const SocketAddress& peer, uint64_t octets) {
  impl_->resets.emplace_back(peer, octets);
}

void World::inject(const DiskFault& fault) {
  RINGMTA_ASSERT(fault.nth > 0 && fault.error >= 0);
  impl_->faults.push_back(fault);
}

void World::clear_faults() {
  impl_->faults.clear();
  impl_->resets.clear();
}

uint64_t World::disk_octets_used() const { return impl_->files.octets_used(); }

void World::flip(const std::string& path, uint64_t offset, std::byte bits) {
  const FilePointer file = impl_->files.find(path);
  if (file != nullptr && offset < file->content.size()) file->content[offset] ^= bits;
}

World::Held World::held(ring::Io& io) {
  const ring::Io::Impl& in = io.impl();
  const auto files =
      std::ranges::count_if(in.files, [](const auto& one) { return one.file != nullptr; });
  return {in.streams.size(), in.datagrams.size(), static_cast<uint32_t>(files),
          in.file_operations.size()};
}

const World::Struck& World::struck() const { return impl_->faults_struck; }

void World::half_close(ring::Io& io, ring::StreamId stream) { io.impl().half_close(stream); }

void World::crash(std::span<ring::Io* const> dead, Crash kind) {
  impl_->run_due();
  for (ring::Io* io : dead) io->impl().die(kind);
  if (kind == Crash::power) impl_->files.power_failure(impl_->random, impl_->faults_struck);
  release_locks();
}

void World::release_locks() { impl_->files.locks().clear(); }

}  // namespace ringmta::sim
