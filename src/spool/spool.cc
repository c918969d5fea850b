// SPDX-License-Identifier: GPL-3.0-or-later
// The public face of a shard's spool, its beginning and its end.
#include "ringmta/spool/spool.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "ringmta/ring/disk.h"
#include "spool_impl.h"

namespace ringmta::spool {
namespace {

constexpr int64_t kIdsBegin_ms = 1'577'836'800'000;  // 2020-01-01T00:00:00Z
constexpr uint32_t kIdCountBits = 14;
constexpr uint32_t kIdShardBits = 8;
constexpr uint64_t kSegmentSizeMin = 65'536;
constexpr uint64_t kSegmentSizeMax = 1'073'741'824;

Status check(const SpoolOptions& options) {
  if (options.segment_size % kBlock != 0 || options.segment_size < kSegmentSizeMin ||
      options.segment_size > kSegmentSizeMax) {
    return fail(
        fmt::format("the spool's segment size is {}; it must be a multiple of {} from {} "
                    "to {}",
                    options.segment_size, kBlock, kSegmentSizeMin, kSegmentSizeMax));
  }
  if (options.shard.value >= kShardsMax) {
    return fail(fmt::format("there can be {} shards at most", kShardsMax));
  }
  return ring::disk::make_directory(options.directory);
}

}  // namespace

Spool::Impl::Impl(ring::Io& the_io, const SpoolOptions& chosen, ring::Token token)
    : io(the_io),
      options(chosen),
      kind(token.kind()),
      direct(chosen.write_mode != WriteMode::buffered) {}

Spool::Impl::~Impl() {
  if (operations == 0) {
    for (const auto& of : segments) close_file(*of);
    return;
  }
  // The kernel may still read or write it.
  if (writing != nullptr) {
    for (const iovec& part : writing->parts()) blocks.abandon(part.iov_base);
  }
  for (const Load& load : loads) {
    if (load.block != kNone) blocks.abandon(blocks[load.block].memory);
  }
  for (const auto& of : segments) {
    if (of->header_block != kNone) blocks.abandon(blocks[of->header_block].memory);
  }
}

Spool::Spool(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Spool::~Spool() = default;

Result<std::unique_ptr<Spool>> Spool::create(ring::Io& io, const SpoolOptions& options,
                                             Recovery* recovery, ring::Token token) {
  if (Status fine = check(options); !fine) return std::unexpected(fine.error());
  auto impl = std::make_unique<Impl>(io, options, token);
  if (recovery != nullptr) impl->take_over(*static_cast<RecoveryResult*>(recovery));
  impl->tend_segments();
  // A full disk is no reason not to start: what is there is delivered, and that makes room.
  const int code = impl->no_room_why.code;
  if (impl->no_room && code != ENOSPC && code != EDQUOT && impl->ready() == 0) {
    return fail("the spool in " + options.directory + " cannot be written to: " +
                    impl->no_room_why.message + "; see its owner and rights",
                code);
  }
  return std::unique_ptr<Spool>(new Spool(std::move(impl)));
}

MessageId Spool::next_id() {
  Impl& in = *impl_;
  const int64_t wall = in.io.wall().ms - kIdsBegin_ms;
  const uint64_t ms = wall > 0 ? static_cast<uint64_t>(wall) : 0;
  if (ms > in.last_id_ms) {
    in.last_id_ms = ms;
    in.last_id_count = 0;
  } else if (++in.last_id_count >> kIdCountBits != 0) {
    ++in.last_id_ms;
    in.last_id_count = 0;
  }
  return {in.highest_id()};
}

uint64_t Spool::Impl::highest_id() const {
  return last_id_ms << (kIdShardBits + kIdCountBits) |
         static_cast<uint64_t>(options.shard.value) << kIdCountBits | last_id_count;
}

StoredHandle Spool::store(MessageId id, const MessageHead& head, std::string_view trace_lines,
                          std::span<const std::string_view> content, uint64_t tag) {
  if (!accepting()) return {UINT32_MAX, 0};
  return impl_->store(id, head, trace_lines, content, tag);
}

StoredHandle Spool::store_gathered(MessageId id, const MessageHead& head,
                                   std::string_view trace_lines, Gathering* gathered,
                                   uint64_t tag) {
  if (!accepting()) {
    impl_->gather_drop(gathered);
    return {UINT32_MAX, 0};
  }
  return impl_->store_gathered(id, head, trace_lines, gathered, tag);
}

Gathering* Spool::gather() {
  if (memory_exhausted()) return nullptr;
  auto& idle = impl_->idle_gatherings;
  if (idle.empty()) return impl_->gatherings.emplace_back(std::make_unique<Gathering>()).get();
  Gathering* gathering = idle.back();
  idle.pop_back();
  return gathering;
}

bool Spool::gather_append(Gathering& gathering, std::string_view content) {
  return impl_->gather_append(gathering, content);
}
uint64_t Spool::gathered_octets(const Gathering& gathering) const { return gathering.octets; }
void Spool::gather_drop(Gathering* gathering) { impl_->gather_drop(gathering); }

void Spool::record_states(StoredHandle message, std::span<const RecipientState> states) {
  Impl& in = *impl_;
  Message& of = in.messages.get(message);
  merge_states(of, states);
  if (of.is(Message::kNoted)) return;
  of.set(Message::kNoted);
  in.stated.push_back(message);
  in.note_waits();
}

void Spool::finish(StoredHandle message) {
  Impl& in = *impl_;
  Message& of = in.messages.get(message);
  RINGMTA_ASSERT(of.is(Message::kCommitted));
  of.pins = 0;
  if (of.is(Message::kMoving) || of.is(Message::kLoading)) {
    of.set(Message::kEnded);
    ++in.ended_later;
  } else {
    in.ended_message(message.index);
  }
}

void Spool::load(StoredHandle message, uint64_t tag) { impl_->load(message, tag, false); }

void Spool::on_event(const ring::Event& event) { impl_->on_event(event); }

void Spool::Impl::on_event(const ring::Event& event) {
  RINGMTA_ASSERT(event.kind == ring::EventKind::file_done && operations > 0);
  --operations;
  ++completions;
  const uint32_t what = event.token.index() >> 8;
  switch (static_cast<Operation>(event.token.index() & 0xFF)) {
    case Operation::batch:
      return written(event.result);
    case Operation::make:
      return made(event.result);
    case Operation::open:
      return opened(static_cast<uint16_t>(what), event.result);
    case Operation::end:
      return end_written(static_cast<uint16_t>(what), event.result);
    case Operation::load:
      return loaded(what, event.result);
  }
}

bool Spool::flush() {
  const bool more = impl_->flush();
  return more || !impl_->done_list.empty();  // what was in memory is loaded at once
}

void Spool::take_done(std::vector<Done>& into) {
  into.insert(into.end(), impl_->done_list.begin(), impl_->done_list.end());
  impl_->done_list.clear();
}

Monotonic Spool::wants_flush_at() const {
  const Impl& in = *impl_;
  Monotonic at = Monotonic::never();
  if (in.writing == nullptr) {
    const bool waits_for_room = !in.queued.empty() && in.queued.front()->closed();
    if (!waits_for_room && in.notes_due != Monotonic::never()) {
      at = std::max(in.notes_due, in.write_again_at);
    } else if (!in.queued.empty() && in.write_again_at > in.io.now()) {
      at = in.write_again_at;
    }
  }
  if (in.making_wanted()) at = std::min(at, in.make_again_at);
  if (in.shared != nullptr && !in.dead.empty()) at = std::min(at, in.wake_to_reclaim_at);
  return at;
}

bool Spool::idle() const {
  return impl_->writing == nullptr && !impl_->notes_pending() && impl_->ended_later == 0 &&
         impl_->nothing_queued();
}

const SpoolCounters& Spool::counters() const {
  SpoolCounters& counters = impl_->counters;
  counters.accepting = accepting();
  counters.direct = impl_->direct;
  counters.memory_octets = impl_->blocks.octets_in_use();
  counters.segments_free = impl_->ready();
  return counters;
}

}  // namespace ringmta::spool
