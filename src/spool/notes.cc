// SPDX-License-Identifier: GPL-3.0-or-later
// What is written about messages: states of recipients, tombstones, failed writes whose messages
// never were, and checkpoints.
//
// The insight: a note is made when its batch is closed, from what is known then. Several changes of
// one message between two batches are one note, and what is about a segment whose life has ended
// meanwhile is not written at all.
#include <algorithm>
#include <cstring>

#include "ringmta/base/crc32c.h"
#include "spool_impl.h"

namespace ringmta::spool {
namespace {

constexpr size_t kIdsPerRecordMax = 16'384;
constexpr size_t kStatesOctetsMax = 131'072;
constexpr Milliseconds kCheckpointEvery{50};
constexpr size_t kNotesAtOnce = 8'192;  // so many waiting notes are written without delay
constexpr Milliseconds kDelayWithoutRoom = seconds(1);

}  // namespace

bool Spool::Impl::notes_pending() const {
  return !tombstones.empty() || !nevers.empty() || !stated.empty() || !checkpoints.empty();
}

// Something waits to be written: by when? Where room is short, the last of it has to last: each
// write takes a block, so there are fewer of them.
void Spool::Impl::note_waits() {
  const Monotonic now = io.now();
  if (!nevers.empty() || tombstones.size() + stated.size() > kNotesAtOnce) {
    notes_due = std::min(notes_due, now);
  }
  if (!checkpoints.empty()) notes_due = std::min(notes_due, std::max(now, checkpoint_again_at));
  if (notes_due == Monotonic::never() && notes_pending()) {
    const bool short_of_room = no_room && room_for_notes() < options.segment_size / 2;
    notes_due = now + (short_of_room ? std::max(kDelayWithoutRoom, options.note_delay_max)
                                     : options.note_delay_max);
  }
}

void Spool::Impl::add_notes(Batch& batch) {
  add_nevers(batch);
  add_tombstones(batch);
  add_states(batch);
  add_checkpoints(batch);
  notes_due = Monotonic::never();
  note_waits();
}

bool Spool::Impl::takes(const Batch& batch, uint64_t octets) const {
  return batch.length_with(sizeof(RecordHeader) + octets) <= options.segment_size - kBlock;
}

void Spool::Impl::add_nevers(Batch& batch) {
  while (!nevers.empty()) {
    const Batch::Never never = nevers.back();
    if (segment(never.segment).epoch == never.epoch) {
      encoded.clear();
      put_varint(encoded, segment(never.segment).number);
      put_u64(encoded, never.epoch);
      put_varint(encoded, never.offset);
      if (!takes(batch, encoded.size())) return;
      add_octets(batch, RecordType::never, encoded);
      batch.nevers.push_back(never);
    }
    nevers.pop_back();
  }
}

void Spool::Impl::add_tombstones(Batch& batch) {
  std::erase_if(tombstones, [this](const Batch::Tombstone& tombstone) {
    return segment(tombstone.segment).epoch != tombstone.epoch;
  });
  const size_t ids_max = std::min<uint64_t>(kIdsPerRecordMax, options.segment_size / 64);
  const size_t count = std::min(tombstones.size(), ids_max);
  if (count == 0 || !takes(batch, count * sizeof(uint64_t))) return;
  encoded.resize(count * sizeof(uint64_t));
  for (size_t i = 0; i < count; ++i) {
    ringmta::store(encoded.data() + i * sizeof(uint64_t), tombstones[i].id);
  }
  const auto end = tombstones.begin() + static_cast<ptrdiff_t>(count);
  batch.tombstones.insert(batch.tombstones.end(), tombstones.begin(), end);
  tombstones.erase(tombstones.begin(), end);
  add_octets(batch, RecordType::tombstone, encoded);
}

void Spool::Impl::add_octets(Batch& batch, RecordType type, const Octets& octets) {
  RecordHeader header;
  header.type = static_cast<uint32_t>(type);
  header.length = static_cast<uint32_t>(octets.size());
  header.payload_crc = crc32c(octets);
  std::byte* record = batch.reserve(sizeof(header) + octets.size());
  std::memcpy(record + sizeof(header), octets.data(), octets.size());
  batch.add_record(header, record);
}

void Spool::Impl::encode_states(const Message& message, Octets& into) {
  states.clear();
  append_states(message, states);
  put_u64(into, message.id);
  put_varint(into, states.size());
  for (const RecipientState& state : states) put_state(into, state);
}

void Spool::Impl::add_states(Batch& batch) {
  const size_t octets_max = std::min<uint64_t>(kStatesOctetsMax, options.segment_size / 16);
  size_t used = 0;
  encoded.clear();
  for (; used < stated.size() && encoded.size() < octets_max; ++used) {
    Message* message = messages.find(stated[used]);
    if (message == nullptr || message->is(Message::kEnded)) continue;
    const size_t before = encoded.size();
    encode_states(*message, encoded);
    if (!takes(batch, encoded.size())) {
      encoded.resize(before);
      break;
    }
    message->clear(Message::kNoted);
    batch.stated.push_back(stated[used]);
  }
  stated.erase(stated.begin(), stated.begin() + static_cast<ptrdiff_t>(used));
  if (!encoded.empty()) add_octets(batch, RecordType::states, encoded);
}

// One in a while: a big one takes milliseconds to make up.
void Spool::Impl::add_checkpoints(Batch& batch) {
  if (checkpoints.empty() || io.now() < checkpoint_again_at) return;
  size_t used = 0;
  for (; used < checkpoints.size(); ++used) {
    Segment& of = segment(checkpoints[used]);
    if (!of.wants_checkpoint || of.state != Segment::State::sealed) continue;
    encode_checkpoint(of);
    if (encoded.size() > options.segment_size / 2) {
      of.wants_checkpoint = false;  // made for bigger segments; its messages have to end
      continue;
    }
    if (!takes(batch, encoded.size())) break;
    add_octets(batch, RecordType::checkpoint, encoded);
    batch.checkpoints.push_back({of.epoch, of.index});
    const bool in_need = no_room || ready() < 2 || dead.size() > 2 * dead_max;
    if (!in_need) checkpoint_again_at = io.now() + kCheckpointEvery;
    ++used;
    break;
  }
  checkpoints.erase(checkpoints.begin(), checkpoints.begin() + static_cast<ptrdiff_t>(used));
}

// Which messages of a segment live, with their states: what older notes say of it is not needed.
void Spool::Impl::encode_checkpoint(const Segment& of) {
  encoded.clear();
  put_varint(encoded, of.number);
  put_u64(encoded, of.epoch);
  uint32_t before = 0;
  for (const Entry& entry : of.entries) {
    if (!lives(of, entry) || messages[entry.slot].is(Message::kEnded)) continue;
    put_varint(encoded, entry.offset - before);
    before = entry.offset;
    states.clear();
    append_states(messages[entry.slot], states);
    put_varint(encoded, states.size());
    for (const RecipientState& state : states) put_state(encoded, state);
  }
}

// The segment that takes the batch is needed as long as those its notes are about.
void Spool::Impl::note_ties(const Batch& batch, Segment& into) {
  const auto tie = [&](uint16_t index) {
    Segment& about = segment(index);
    if (index == into.index || about.noted_epoch == into.epoch) return;
    about.noted_epoch = into.epoch;
    into.about.push_back({about.epoch, index});
  };
  for (const Batch::Tombstone& tombstone : batch.tombstones) {
    if (segment(tombstone.segment).epoch == tombstone.epoch) tie(tombstone.segment);
  }
  for (const Batch::Never& never : batch.nevers) {
    if (segment(never.segment).epoch == never.epoch) tie(never.segment);
  }
  for (const StoredHandle handle : batch.stated) {
    const Message* message = messages.find(handle);
    if (message != nullptr) tie(message->segment);
  }
  for (const Batch::Checkpoint& checkpoint : batch.checkpoints) tie(checkpoint.segment);
}

}  // namespace ringmta::spool
