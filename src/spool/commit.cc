// SPDX-License-Identifier: GPL-3.0-or-later
// Group commit: one write in flight, and what came of it.
//
// The insight: a write counts when its completion says that all of it is on stable storage, and
// only then. Anything else (an error, fewer octets) leaves a segment nobody can be sure of: its
// batch is told as failed, noted as never having been, and the segment is not written again; the
// next batch goes to another one. Nothing is retried in place, because after a failed sync the
// kernel may call a page clean that never reached the disk.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "ringmta/base/log.h"
#include "spool_impl.h"

namespace ringmta::spool {
namespace {

constexpr uint32_t kFailuresMax = 2;  // in a row, before clients are refused
constexpr int64_t kAgainAfterMin_ms = 100;
constexpr int64_t kAgainAfterMax_ms = 30'000;

}  // namespace

bool Spool::accepting() const {
  const Impl& in = *impl_;
  if (in.failures >= kFailuresMax) return false;
  if (!in.no_room) return true;
  uint64_t waiting = 0;
  for (const auto& batch : in.queued) waiting += batch->length();
  return in.room_for_messages() > waiting + in.options.segment_size / 16;
}

bool Spool::Impl::flush() {
  keep_budget();
  reclaim();
  tend_segments();
  if (writing != nullptr || io.now() < write_again_at) return false;
  Batch* batch = front_batch();
  if (batch == nullptr) return false;
  if (batch->closed() && !nevers.empty()) batch = put_nevers_first();
  if (!batch->closed()) {
    add_notes(*batch);
    if (batch->empty()) return false;
    batch->close();
  }
  if (place(*batch)) {
    start_write(*batch);
    return false;
  }
  if (!no_room) return false;
  // There will be no room for messages; the notes beside them go with another batch.
  const auto first =
      std::ranges::find_if(queued, [](const auto& waiting) { return !waiting->stored.empty(); });
  if (first == queued.end()) return false;
  std::unique_ptr<Batch> failed = std::move(*first);
  queued.erase(first);
  give_back_notes(*failed);
  fail_messages(*failed);
  retire(std::move(failed));
  return true;
}

// That a batch never was must be known before anything behind it counts: recovery would take what
// was refused for mail. What was closed before the failure has no room for it, and the batch that
// is open has the cursor.
Batch* Spool::Impl::put_nevers_first() {
  Cursor own;
  queued.insert(queued.begin(), new_batch(own));
  Batch& first = *queued.front();
  add_nevers(first);
  first.close();
  if (own.block != kNone) blocks.release(own.block);
  return &first;
}

bool Spool::Impl::nothing_queued() const {
  return std::all_of(queued.begin(), queued.end(),
                     [](const auto& batch) { return batch->empty(); });
}

// What is to be written next; null: nothing, or nothing yet.
Batch* Spool::Impl::front_batch() {
  if (!queued.empty() && (queued.front()->closed() || !queued.front()->empty())) {
    return queued.front().get();
  }
  if (io.now() < notes_due) return nullptr;
  return queued.empty() ? batch_for(0, 0, 0) : queued.front().get();
}

bool Spool::Impl::place(Batch& batch) {
  const uint64_t length = batch.length();
  const bool has_new = !batch.stored.empty();
  if (log_head != kNoSegment && segment(log_head).write_at + length > segment(log_head).size) {
    // The last segment at hand is kept for notes.
    if (next == kNoSegment || (has_new && ready() < 2)) return false;
    seal_segment(segment(log_head));
    log_head = kNoSegment;
  } else if (log_head != kNoSegment && no_room && has_new && ready() == 0) {
    return false;
  }
  if (log_head == kNoSegment) {
    if (next == kNoSegment) return false;
    log_head = next;
    next = kNoSegment;
    segment(log_head).state = Segment::State::head;
    tend_segments();
  }
  Segment& target = segment(log_head);
  if (target.write_at + length > target.size) return false;
  const bool being_prepared = making.segment == log_head && making.piece_octets > 0;
  return !being_prepared || making.piece_at >= target.write_at + length;
}

void Spool::Impl::start_write(Batch& batch) {
  Segment& target = segment(log_head);
  batch.sequence = ++sequence;
  batch.segment = log_head;
  batch.offset = target.write_at;
  target.write_at += batch.length();
  target.last_sequence = batch.sequence;
  BatchHeader header;
  header.shard = options.shard.value;
  if (batch.offset == kBlock) {
    header.previous_number = last_written.number;
    header.previous_epoch = last_written.epoch;
    header.previous_end = static_cast<uint32_t>(last_written.end);
  }
  batch.seal({target.epoch, target.number}, batch.offset, header);
  for (const Batch::Stored& stored : batch.stored) {
    Message& message = messages.get(stored.message);
    message.segment = log_head;
    message.offset = static_cast<uint32_t>((batch.offset + stored.offset) / kRecordAlign);
  }
  note_ties(batch, target);
  RINGMTA_ASSERT(queued.front().get() == &batch);
  writing = std::move(queued.front());
  queued.erase(queued.begin());
  ++operations;
  io.write_file(target.file, batch.parts(), batch.offset, durability(),
                token_for(Operation::batch, 0));
}

void Spool::Impl::written(int32_t result) {
  RINGMTA_ASSERT(writing != nullptr);
  std::unique_ptr<Batch> batch = std::move(writing);
  if (result >= 0 && static_cast<uint64_t>(result) == batch->length()) {
    write_succeeded(*batch);
  } else {
    write_failed(*batch, result);
  }
  retire(std::move(batch));
}

void Spool::Impl::write_succeeded(Batch& batch) {
  Segment& into = segment(batch.segment);
  failures = 0;
  into.acknowledged = batch.offset + batch.length();
  last_written = {into.number, into.epoch, into.acknowledged};
  ++counters.batches;
  counters.batch_octets += batch.length();
  counters.batch_messages += batch.stored.size();
  const size_t known = into.entries.size();
  for (const Batch::Stored& stored : batch.stored) {
    Message& message = messages.get(stored.message);
    message.set(Message::kCommitted);
    ++into.living;
    into.living_octets += message.length;
    into.entries.push_back({stored.message.index, message.offset});
    blocks.holds(message.block, stored.message.index);
    done(Done::What::committed, stored.message, stored.tag);
  }
  for (const Batch::Moved& moved : batch.moved) {
    Message& message = messages[moved.message.index];
    Segment& from = segment(moved.from);
    from.living_octets -= message.length;
    --from.living;
    --from.moves;
    add_source(into, from);
    message.segment = batch.segment;
    message.offset = static_cast<uint32_t>((batch.offset + moved.offset) / kRecordAlign);
    message.clear(Message::kMoving);
    ++into.living;
    into.living_octets += message.length;
    into.entries.push_back({moved.message.index, message.offset});
    ++counters.compacted_messages;
    if (moved.evict) evict(moved.message.index);
    if (message.is(Message::kEnded)) ended_message(moved.message.index);
  }
  if (!batch.moved.empty()) {
    job.octets_moving = 0;
    std::sort(into.entries.begin() + static_cast<ptrdiff_t>(known), into.entries.end(),
              [](const Entry& a, const Entry& b) { return a.offset < b.offset; });
  }
  counters.notes += batch.tombstones.size() + batch.stated.size() + batch.nevers.size();
  for (const Batch::Checkpoint& checkpoint : batch.checkpoints) {
    Segment& of = segment(checkpoint.segment);
    if (of.epoch != checkpoint.epoch) continue;
    of.checkpoint_sequence = batch.sequence;
    of.wants_checkpoint = false;
    of.uncovered = false;
    reclaim_due = true;
    if (of.shared_life != UINT32_MAX) shared->covered[of.shared_life].store(1);
    ++counters.checkpoints;
  }
}

// Older copies of messages that came from there: also those that had come there from elsewhere.
void Spool::Impl::add_source(Segment& into, Segment& from) {
  from.uncovered = true;
  if (!into.sources.empty() && into.sources.back().segment == from.index &&
      into.sources.back().epoch == from.epoch) {
    return;
  }
  const auto add = [](auto& list, const auto& source) {
    if (std::find(list.begin(), list.end(), source) == list.end()) list.push_back(source);
  };
  for (const Segment::About& earlier : from.sources) {
    const Segment& source = segment(earlier.segment);
    if (source.epoch == earlier.epoch && source.uncovered) add(into.sources, earlier);
  }
  for (const uint32_t cell : from.sources_others) {
    if (shared->covered[cell].load() == 0) add(into.sources_others, cell);
  }
  std::erase(into.sources, Segment::About{from.epoch, from.index});
  into.sources.push_back(
      {from.epoch, from.index});  // the next one most likely comes from there, too
}

void Spool::Impl::write_failed(Batch& batch, int32_t result) {
  Segment& into = segment(batch.segment);
  ++counters.write_errors;
  ++failures;
  const std::string why = result < 0
                              ? fail_errno("a write failed", -result).error().message
                              : fmt::format("{} of {} octets were written", result, batch.length());
  log(LogLevel::error,
      "spool: {} at {}: {}; the {} messages in it are refused (452), the segment is set aside and "
      "what lives in it moves to another; check the disk",
      path_of(into), batch.offset, why, batch.stored.size());
  into.set_aside = true;
  into.ran_out = result >= 0 || result == -ENOSPC || result == -EDQUOT;
  nevers.push_back({into.epoch, batch.offset, into.index});
  seal_segment(into);
  if (log_head == batch.segment) log_head = kNoSegment;
  give_back_notes(batch);
  fail_messages(batch);
  notes_due = io.now();
  if (failures >= kFailuresMax) {
    const uint32_t doublings = std::min(failures - kFailuresMax, 16U);
    const int64_t pause = std::min(kAgainAfterMin_ms << doublings, kAgainAfterMax_ms);
    write_again_at = io.now() + Milliseconds{pause};
  }
}

void Spool::Impl::give_back_notes(Batch& batch) {
  tombstones.insert(tombstones.end(), batch.tombstones.begin(), batch.tombstones.end());
  nevers.insert(nevers.end(), batch.nevers.begin(), batch.nevers.end());
  for (const StoredHandle handle : batch.stated) {
    Message* message = messages.find(handle);
    if (message == nullptr || message->is(Message::kNoted)) continue;
    message->set(Message::kNoted);
    stated.push_back(handle);
  }
  for (const Batch::Checkpoint& checkpoint : batch.checkpoints) {
    if (segment(checkpoint.segment).epoch == checkpoint.epoch) {
      checkpoints.push_back(checkpoint.segment);
    }
  }
  for (const Batch::Moved& moved : batch.moved) {
    Message& message = messages[moved.message.index];
    --segment(moved.from).moves;
    message.clear(Message::kMoving);
    if (moved.evict) evict(moved.message.index);
    if (message.is(Message::kEnded)) ended_message(moved.message.index);
  }
  if (!batch.moved.empty()) {
    job.octets_moving = 0;
    job.next = 0;  // they are to be moved again
  }
  note_waits();
}

void Spool::Impl::fail_messages(Batch& batch) {
  for (const Batch::Stored& stored : batch.stored) {
    release_memory(messages.get(stored.message));
    messages.release(stored.message.index);
    --counters.messages;
    done(Done::What::failed, stored.message, stored.tag);
  }
}

void Spool::Impl::retire(std::unique_ptr<Batch> batch) {
  batch->release_blocks();
  batch->clear();
  idle_batches.push_back(std::move(batch));
}

}  // namespace ringmta::spool
