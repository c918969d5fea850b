// SPDX-License-Identifier: GPL-3.0-or-later
// Messages on their way into a batch: one copy, with the checksum made while the octets are in the
// cache. A message that gathered in chunks of its own is not copied again: its chunks become parts
// of the write, behind a record head that is filled up to a multiple of 4096. A small one is copied
// all the same, since a few kilobytes of copying are cheaper than a chunk kept for them.
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>

#include "ringmta/base/crc32c.h"
#include "spool_impl.h"

namespace ringmta::spool {
namespace {

constexpr uint64_t kCopyMax = 32'768;  // gathered content up to this is copied into the batch
// Of a segment that holds a single message: its own header, what fills up the record, four for the
// batch.
constexpr uint64_t kBlocksBesides = 6;

void describe_content(std::byte* payload, size_t trace, uint64_t content_offset, uint64_t content,
                      uint32_t crc) {
  const auto put = [payload](size_t at, uint64_t value) {
    ringmta::store(payload + at, static_cast<uint32_t>(value));
  };
  put(offsetof(MessageFixed, trace_length), trace);
  put(offsetof(MessageFixed, content_offset), content_offset);
  put(offsetof(MessageFixed, content_length), content);
  put(offsetof(MessageFixed, content_crc), crc);
}

RecordHeader message_header(const std::byte* payload, uint64_t length, uint64_t content_offset) {
  RecordHeader header;
  header.type = static_cast<uint32_t>(RecordType::message);
  header.length = static_cast<uint32_t>(length);
  header.payload_crc = crc32c({payload, content_offset});
  return header;
}

constexpr StoredHandle kNotStored{UINT32_MAX, 0};

}  // namespace

uint64_t Spool::message_octets_max() const {
  return impl_->options.segment_size - kBlocksBesides * kBlock - sizeof(RecordHeader);
}

// The batch that takes a record of so many octets; null: no segment could hold it.
Batch* Spool::Impl::batch_for(uint64_t octets, uint64_t chunk_octets, uint32_t chunks) {
  const uint64_t capacity = options.segment_size - kBlock;
  if (octets + chunk_octets + (kBlocksBesides - 2) * kBlock > capacity ||
      chunks + 8 > ring::Io::kWritePartsMax) {
    return nullptr;
  }
  if (!queued.empty() && !queued.back()->closed()) {
    Batch& last = *queued.back();
    const uint64_t chunks_max = options.segment_size / 8;
    if (last.length_with(octets + chunk_octets) <= capacity &&
        last.length() - last.chunk_octets() < options.batch_max &&
        last.parts_used() + chunks + 8 <= ring::Io::kWritePartsMax &&
        (last.chunk_octets() + chunk_octets <= chunks_max || last.empty())) {
      return &last;
    }
    add_notes(last);
    last.close();
  }
  queued.push_back(new_batch(cursor));
  return queued.back().get();
}

std::unique_ptr<Batch> Spool::Impl::new_batch(Cursor& from) {
  std::unique_ptr<Batch> made;
  if (idle_batches.empty()) {
    made = std::make_unique<Batch>(blocks);
  } else {
    made = std::move(idle_batches.back());
    idle_batches.pop_back();
  }
  made->begin(from);
  return made;
}

StoredHandle Spool::Impl::store(MessageId id, const MessageHead& head, std::string_view trace_lines,
                                std::span<const std::string_view> content, uint64_t tag) {
  const size_t head_octets = head_length(head);
  uint64_t content_octets = 0;
  for (const std::string_view piece : content) content_octets += piece.size();
  const uint64_t content_offset = head_octets + trace_lines.size();
  const uint64_t payload_octets = content_offset + content_octets;
  if (head_octets == 0 || payload_octets > options.segment_size) return kNotStored;
  Batch* batch = batch_for(sizeof(RecordHeader) + payload_octets, 0, 0);
  if (batch == nullptr) return kNotStored;

  std::byte* record = batch->reserve(sizeof(RecordHeader) + payload_octets);
  std::byte* payload = record + sizeof(RecordHeader);
  encode_head(head, id, head_octets, payload);
  if (!trace_lines.empty()) {
    std::memcpy(payload + head_octets, trace_lines.data(), trace_lines.size());
  }
  std::byte* at = payload + content_offset;
  uint32_t crc = 0;
  for (const std::string_view piece : content) {
    if (piece.empty()) continue;
    std::memcpy(at, piece.data(), piece.size());
    crc = crc32c({at, piece.size()}, crc);
    at += piece.size();
  }
  describe_content(payload, trace_lines.size(), content_offset, content_octets, crc);
  batch->add_record(message_header(payload, payload_octets, content_offset), record);
  return keep(*batch, id, record, payload_octets, trace_lines.size() + content_octets, tag);
}

StoredHandle Spool::Impl::keep(Batch& batch, MessageId id, std::byte* record, uint64_t payload,
                               uint64_t wire, uint64_t tag) {
  const uint32_t slot = messages.take();
  Message& message = messages[slot];
  message.id = id.value;
  message.length = static_cast<uint32_t>(payload);
  message.wire = static_cast<uint32_t>(wire);
  message.block = cursor.block;
  message.memory_at = static_cast<uint16_t>((record - blocks[cursor.block].memory) / kRecordAlign);
  blocks.add_reference(cursor.block);
  const StoredHandle handle = messages.handle(slot);
  batch.stored.push_back({handle, batch.offset_of_last(), tag});
  ++counters.stored;
  ++counters.messages;
  return handle;
}

StoredHandle Spool::Impl::store_gathered(MessageId id, const MessageHead& head,
                                         std::string_view trace_lines, Gathering* gathered,
                                         uint64_t tag) {
  if (gathered->octets <= kCopyMax) {
    static_assert(kCopyMax <= kFirstChunk);
    std::string_view content;
    if (gathered->first != kNone) {
      const MemoryBlock& chunk = blocks[gathered->first];
      content = as_text({chunk.memory, chunk.used});
    }
    const StoredHandle stored = store(id, head, trace_lines, {&content, 1}, tag);
    gather_drop(gathered);
    return stored;
  }
  const size_t head_octets = head_length(head);
  const uint64_t record_octets = sizeof(RecordHeader) + head_octets + trace_lines.size();
  Batch* batch = head_octets == 0
                     ? nullptr
                     : batch_for(record_octets, gathered->octets + kBlock, gathered->chunks);
  if (batch == nullptr) {
    gather_drop(gathered);
    return kNotStored;
  }
  std::byte* record = batch->reserve(record_octets);
  std::byte* payload = record + sizeof(RecordHeader);
  encode_head(head, id, head_octets, payload);
  if (!trace_lines.empty()) {
    std::memcpy(payload + head_octets, trace_lines.data(), trace_lines.size());
  }
  const uint64_t begin = batch->offset_of_last() + sizeof(RecordHeader);
  const uint64_t content_offset =
      round_up(begin + head_octets + trace_lines.size(), kBlock) - begin;
  describe_content(payload, trace_lines.size(), content_offset, gathered->octets, gathered->crc);
  batch->fill_up();
  batch->add_record(message_header(payload, content_offset + gathered->octets, content_offset),
                    record);
  const StoredHandle handle = keep(*batch, id, record, content_offset + gathered->octets,
                                   trace_lines.size() + gathered->octets, tag);
  for (uint32_t chunk = gathered->first; chunk != kNone; chunk = blocks[chunk].next_chunk) {
    batch->append_chunk(blocks[chunk].memory, blocks[chunk].used);
  }
  messages[handle.index].content = gathered->first;
  gathered->first = kNone;
  gather_drop(gathered);
  return handle;
}

// The first chunk is a block, or ten thousand clients that have sent a few octets each would take
// all the memory there is; it is copied into a chunk of the usual size when it is full.
void Spool::Impl::replace_first_block(Gathering& gathering) {
  const uint32_t block = gathering.first;
  const uint32_t chunk = blocks.take(kFirstChunk);
  std::memcpy(blocks[chunk].memory, blocks[block].memory, kBlock);
  blocks[chunk].used = kBlock;
  blocks.release_chain(block);
  gathering.first = gathering.last = chunk;
}

// Chunks grow with the message, so that a big one has few and the last one wastes little.
bool Spool::Impl::gather_append(Gathering& gathering, std::string_view content) {
  while (!content.empty()) {
    if (gathering.last == kNone || blocks[gathering.last].used == blocks[gathering.last].size) {
      if (blocks.octets_in_use() > options.memory_max + options.memory_max / 4) return false;
      if (gathering.chunks == 1 && blocks[gathering.last].size == kBlock) {
        replace_first_block(gathering);
        continue;
      }
      const auto share = static_cast<uint32_t>(
          std::min<uint64_t>(kChunkMax, std::bit_floor(gathering.octets / 4)));
      const bool small = gathering.last == kNone && content.size() <= kBlock;
      const uint32_t chunk = blocks.take(small ? kBlock : std::max(kFirstChunk, share));
      (gathering.last == kNone ? gathering.first : blocks[gathering.last].next_chunk) = chunk;
      gathering.last = chunk;
      ++gathering.chunks;
    }
    MemoryBlock& chunk = blocks[gathering.last];
    const size_t octets = std::min<size_t>(content.size(), chunk.size - chunk.used);
    std::memcpy(chunk.memory + chunk.used, content.data(), octets);
    gathering.crc = crc32c({chunk.memory + chunk.used, octets}, gathering.crc);
    chunk.used += static_cast<uint32_t>(octets);
    gathering.octets += octets;
    content.remove_prefix(octets);
  }
  return true;
}

void Spool::Impl::gather_drop(Gathering* gathering) {
  blocks.release_chain(gathering->first);
  *gathering = {};
  idle_gatherings.push_back(gathering);
}

}  // namespace ringmta::spool
