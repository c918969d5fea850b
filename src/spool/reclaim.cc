// SPDX-License-Identifier: GPL-3.0-or-later
// Segments to write to again: what is not needed any more ends its life, what is mostly dead is
// emptied, and checkpoints cut the ties that notes make.
//
// The insight: ending a life is one write of a header with a new epoch; no record of the old life
// is valid after that, so nothing else has to be erased or read. Until that write is done, all that
// was said about the old life is kept.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "ringmta/base/log.h"
#include "spool_impl.h"

namespace ringmta::spool {
namespace {

constexpr uint64_t kMoveOctetsMax = 262'144;  // on their way at a time
constexpr uint32_t kMoveLoadsMax = 8;
constexpr Milliseconds kCompactAfter = seconds(10);  // most of what is left then is deferred
constexpr Milliseconds kLookEvery{100};              // while something happens
constexpr Milliseconds kLookAtRest{2000};            // then only other shards can change anything
constexpr Milliseconds kTryAgain = seconds(10);
constexpr uint64_t kBelowPercentWithoutRoom = 75;  // then moving a lot to gain little is right
constexpr size_t kDeadMin = 2;  // dead segments that may wait for their notes' sake

}  // namespace

// Every recipient is final and nobody reads or moves it.
void Spool::Impl::ended_message(uint32_t slot) {
  Message& message = messages[slot];
  Segment& of = segment(message.segment);
  if (message.is(Message::kEnded)) --ended_later;
  tombstones.push_back({message.id, of.epoch, of.index});
  note_waits();
  --of.living;
  of.living_octets -= message.length;
  release_memory(message);
  drop_states(message);
  messages.release(slot);
  --counters.messages;
  ++counters.finished;
  look_if_dead(of);
}

void Spool::Impl::look_if_dead(Segment& of) {
  if (!of.dead() || of.listed_dead) return;
  of.listed_dead = true;
  dead.push_back(of.index);
  reclaim_due = true;
}

void Spool::Impl::seal_segment(Segment& of) {
  of.state = Segment::State::sealed;
  of.sealed_at = io.now();
  // Millions may wait in it: what the list grew beyond its need is given back.
  if (of.entries.capacity() > of.entries.size() + of.entries.size() / 4) of.entries.shrink_to_fit();
  look_if_dead(of);
}

void Spool::Impl::reclaim() {
  const bool look_again = io.now() >= reclaim_at && (!dead.empty() || shared != nullptr);
  if (reclaim_due || look_again) {
    reclaim_due = false;
    reclaim_at = io.now() + kLookEvery;
    wake_to_reclaim_at =
        io.now() + (completions == completions_looked_at ? kLookAtRest : kLookEvery);
    completions_looked_at = completions;
    for (size_t i = 0; i < dead.size();) {
      Segment& of = segment(dead[i]);
      if (!may_end(of)) {
        ++i;
        continue;
      }
      dead.erase(dead.begin() + static_cast<ptrdiff_t>(i));
      of.listed_dead = false;
      end_segment(of);
    }
    want_checkpoints();
  }
  if (job.segment == kNoSegment) choose_job();
  if (job.segment != kNoSegment) move_some();
}

void Spool::Impl::try_later(Segment& of) {
  of.state = Segment::State::sealed;
  of.try_again_at = io.now() + kTryAgain;
  look_if_dead(of);
}

bool Spool::Impl::may_end(const Segment& of) const {
  if (io.now() < of.try_again_at) return false;
  // One in use before all of it was written: its file stays open until that has ended.
  if (making.step != Making::Step::none && making.segment == of.index) return false;
  if (job.segment == of.index || !sources_covered(of)) return false;
  for (const Segment::About& about : of.about) {
    const Segment& other = segment(about.segment);
    if (other.epoch != about.epoch) continue;
    if (other.checkpoint_sequence <= of.last_sequence || !sources_covered(other)) return false;
  }
  return std::all_of(of.about_others.begin(), of.about_others.end(),
                     [this](uint32_t cell) { return shared->covered[cell].load() != 0; });
}

bool Spool::Impl::sources_covered(const Segment& of) const {
  return std::all_of(of.sources.begin(), of.sources.end(),
                     [this](const Segment::About& source) {
                       const Segment& from = segment(source.segment);
                       return from.epoch != source.epoch || !from.uncovered;
                     }) &&
         std::all_of(of.sources_others.begin(), of.sources_others.end(),
                     [this](uint32_t cell) { return shared->covered[cell].load() != 0; });
}

void Spool::Impl::end_segment(Segment& of) {
  if (of.set_aside && !of.ran_out) return quarantine(of);
  if (of.size != options.segment_size || of.set_aside) {
    if (!give_back(of)) try_later(of);
    return;
  }
  if (!open_file(of)) return try_later(of);
  of.state = Segment::State::ending;
  of.next_epoch = new_epoch();
  ++ends_in_flight;
  write_header(of, SegmentUse::spare, Operation::end);
}

void Spool::Impl::end_written(uint16_t index, int32_t result) {
  Segment& of = segment(index);
  --ends_in_flight;
  if (!header_written(of, result)) {
    ++counters.write_errors;
    log(LogLevel::error, "spool: the header of {} could not be written; check the disk",
        path_of(of));
    quarantine(of);
    return;
  }
  forget(of);
  of.prepared = of.size;
  of.state = Segment::State::spare;
  spares.push_back(index);
  ++counters.recycled_segments;
  room_found();
}

void Spool::Impl::forget(Segment& of) {
  of.epoch = std::max(of.epoch, of.next_epoch);
  of.entries.clear();
  of.about.clear();
  of.about_others.clear();
  of.sources.clear();
  of.sources_others.clear();
  of.noted_epoch = 0;
  of.checkpoint_sequence = of.last_sequence = 0;
  of.living = 0;
  of.living_octets = 0;
  of.wants_checkpoint = of.listed_dead = false;
  of.uncovered = false;
  if (of.shared_life != UINT32_MAX) shared->covered[of.shared_life].store(1);
  of.shared_life = UINT32_MAX;
  reclaim_due = true;
}

void Spool::Impl::want_checkpoint(Segment& of) {
  if (of.wants_checkpoint || of.state != Segment::State::sealed || job.segment == of.index) return;
  of.wants_checkpoint = true;
  checkpoints.push_back(of.index);
  note_waits();
}

void Spool::Impl::want_checkpoints() {
  if (shared != nullptr) {
    for (const auto& of : segments) {
      const uint32_t cell = of->shared_life;
      if (cell != UINT32_MAX && shared->wanted[cell].load() != 0 &&
          shared->covered[cell].load() == 0) {
        want_checkpoint(*of);
      }
    }
  }
  // A quarter of what lives may be dead and wait: so a checkpoint of everything costs little per
  // segment it frees.
  const size_t living = segments.size() - absent.size() - spares.size() - dead.size();
  dead_max = std::max(kDeadMin, living / 4);
  const bool short_of_room = no_room || ready() < 2;
  if (dead.empty() || (!short_of_room && dead.size() <= dead_max)) return;
  for (const uint16_t index : dead) {
    const Segment& of = segment(index);
    for (const Segment::About& about : of.about) {
      Segment& other = segment(about.segment);
      if (other.epoch != about.epoch) continue;
      if (other.checkpoint_sequence <= of.last_sequence) want_checkpoint(other);
      want_sources_covered(other);
    }
    want_sources_covered(of);
    for (const uint32_t cell : of.about_others) shared->wanted[cell].store(1);
  }
}

void Spool::Impl::want_sources_covered(const Segment& of) {
  for (const Segment::About& source : of.sources) {
    Segment& from = segment(source.segment);
    if (from.epoch == source.epoch && from.uncovered) want_checkpoint(from);
  }
  for (const uint32_t cell : of.sources_others) shared->wanted[cell].store(1);
}

// Segments that were set aside are emptied first, then the emptiest of those that are mostly dead.
void Spool::Impl::choose_job() {
  if (io.now() < choose_job_at || failures > 0) return;
  choose_job_at = io.now() + kLookEvery;
  const Segment* best = nullptr;
  for (const auto& of : segments) {
    if (of->state != Segment::State::sealed || io.now() < of->try_again_at || of->living == 0 ||
        of->wants_checkpoint) {
      continue;
    }
    if (of->set_aside) {
      if (no_room && room_for_messages() < of->living_octets * 2) continue;
      best = of.get();
      break;
    }
    const uint64_t percent = no_room ? kBelowPercentWithoutRoom : options.compact_below_percent;
    if (of->living_octets >= of->size / 100 * percent) continue;
    if (no_room && room_for_notes() < of->living_octets + options.segment_size / 8) continue;
    if (!no_room && io.now() < of->sealed_at + kCompactAfter) continue;
    if (best == nullptr || of->living_octets < best->living_octets) best = of.get();
  }
  if (best == nullptr) return;
  job = {};
  job.segment = best->index;
}

void Spool::Impl::move_some() {
  Segment& from = segment(job.segment);
  while (job.next < from.entries.size() && job.octets_moving < kMoveOctetsMax &&
         job.loads < kMoveLoadsMax) {
    const Entry entry = from.entries[job.next++];
    if (!lives(from, entry)) continue;
    Message& message = messages[entry.slot];
    if (message.is(Message::kMoving)) continue;
    if (message.is(Message::kLoading) || message.is(Message::kEnded)) {
      job.skipped = true;
    } else if (message.block != kNone) {
      move_one(entry.slot, false);
    } else {
      load(messages.handle(entry.slot), 0, true);
    }
  }
  if (job.next < from.entries.size() || from.moves > 0 || job.loads > 0 || from.reads > 0) return;
  if (job.skipped && from.living > 0) {
    job.next = 0;
    job.skipped = false;
    return;
  }
  finish_job();
}

// Copies a record that is in memory into the open batch, its states behind it.
void Spool::Impl::move_one(uint32_t slot, bool evict_then) {
  Message& message = messages[slot];
  const uint64_t octets = sizeof(RecordHeader) + message.length;
  moved_states.clear();
  if (message.has_states()) encode_states(message, moved_states);
  Batch* batch = batch_for(octets + sizeof(RecordHeader) + moved_states.size(), 0, 0);
  if (batch == nullptr) {
    job.unreadable = true;  // made for bigger segments: it stays where it is
    return;
  }
  std::byte* record = batch->reserve(octets);
  const std::byte* old = record_of(message);
  if (message.content == kNone) {
    std::memcpy(record, old, octets);
  } else {
    const auto fixed = ringmta::load<MessageFixed>(old + sizeof(RecordHeader));
    std::byte* at = record + sizeof(RecordHeader) + fixed.content_offset;
    std::memcpy(record, old, sizeof(RecordHeader) + fixed.content_offset);
    for (uint32_t chunk = message.content; chunk != kNone; chunk = blocks[chunk].next_chunk) {
      std::memcpy(at, blocks[chunk].memory, blocks[chunk].used);
      at += blocks[chunk].used;
    }
  }
  batch->add_record(ringmta::load<RecordHeader>(record), record);
  batch->moved.push_back(
      {messages.handle(slot), batch->offset_of_last(), message.segment, evict_then});
  if (!moved_states.empty()) add_octets(*batch, RecordType::states, moved_states);
  message.set(Message::kMoving);
  ++segment(message.segment).moves;
  job.octets_moving += octets;
}

void Spool::Impl::finish_job() {
  Segment& of = segment(job.segment);
  const bool left = of.living > 0;
  if (left && job.unreadable) {
    of.try_again_at = io.now() + kTryAgain;
    log(LogLevel::error,
        "spool: {} messages in {} cannot be moved; it is tried again, see the errors before",
        of.living, path_of(of));
  }
  job = {};
  look_if_dead(of);
  reclaim_due = true;
}

}  // namespace ringmta::spool
