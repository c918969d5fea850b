// SPDX-License-Identifier: GPL-3.0-or-later
// What of the messages is in memory: pins, eviction, and the views that are sent.
#include <algorithm>

#include "spool_impl.h"

namespace ringmta::spool {
namespace {

constexpr uint32_t kBlocksPerTurn = 16;  // looked at by eviction
constexpr size_t kClosing = 3;           // ".CRLF"

MessageFixed fixed_of(const std::byte* record) {
  return ringmta::load<MessageFixed>(record + sizeof(RecordHeader));
}

// Takes `octets` off the end of parts[first...].
void trim(std::vector<iovec>& parts, size_t first, size_t octets) {
  while (octets > 0 && parts.size() > first) {
    iovec& last = parts.back();
    const size_t cut = std::min(octets, last.iov_len);
    last.iov_len -= cut;
    octets -= cut;
    if (last.iov_len == 0) parts.pop_back();
  }
}

}  // namespace

void Spool::Impl::release_memory(Message& message) {
  if (message.block == kNone) return;
  blocks.release_chain(message.content);
  blocks.release(message.block);
  message.block = message.content = kNone;
}

void Spool::Impl::evict(uint32_t slot) {
  Message& message = messages[slot];
  if (message.block == kNone || message.pins > 0 || !message.is(Message::kCommitted)) return;
  release_memory(message);
  ++counters.evictions;
}

// Oldest first. What lies in a segment that was set aside stays: it may not be readable any more.
void Spool::Impl::keep_budget() {
  if (blocks.octets_in_use() <= options.memory_max) return;
  const uint64_t enough = options.memory_max - options.memory_max / 16;
  for (uint32_t looked = 0; looked < kBlocksPerTurn; ++looked) {
    const uint32_t block = blocks.oldest();
    if (block == kNone || blocks.octets_in_use() <= enough) return;
    blocks.add_reference(block);  // the list of its messages is being read
    for (size_t i = 0; i < blocks[block].messages.size(); ++i) {
      const uint32_t slot = blocks[block].messages[i];
      const Message& message = messages[slot];
      if (!message.is(Message::kUsed) || message.block != block ||
          segment(message.segment).set_aside) {
        continue;
      }
      evict(slot);
    }
    blocks.make_youngest(block);
    blocks.release(block);
  }
}

bool Spool::memory_pressed() const {
  return impl_->blocks.octets_in_use() > impl_->options.memory_max;
}

bool Spool::memory_exhausted() const {
  const uint64_t budget = impl_->options.memory_max;
  return impl_->blocks.octets_in_use() > budget + budget / 4;
}

bool Spool::in_memory(StoredHandle message) const {
  return impl_->messages.get(message).block != kNone;
}

void Spool::pin(StoredHandle message) {
  Message& pinned = impl_->messages.get(message);
  RINGMTA_ASSERT(pinned.pins < UINT16_MAX);
  ++pinned.pins;
}

void Spool::unpin(StoredHandle message) {
  Message& pinned = impl_->messages.get(message);
  RINGMTA_ASSERT(pinned.pins > 0);
  --pinned.pins;
}

void Spool::evict(StoredHandle message) {
  impl_->messages.get(message);  // a stale handle is a bug
  impl_->evict(message.index);
}

Bytes Spool::head(StoredHandle message) const {
  const Message& of = impl_->messages.get(message);
  if (of.block == kNone) return {};
  const std::byte* record = impl_->record_of(of);
  return {record + sizeof(RecordHeader), fixed_of(record).head_length};
}

void Spool::parts(StoredHandle message, bool with_dot, std::vector<iovec>& into) const {
  const Message& of = impl_->messages.get(message);
  if (of.block == kNone) return;
  std::byte* record = impl_->blocks[of.block].memory + size_t{of.memory_at} * kRecordAlign;
  const MessageFixed fixed = fixed_of(record);
  std::byte* payload = record + sizeof(RecordHeader);
  const size_t first = into.size();
  const uint32_t trace_end = fixed.head_length + fixed.trace_length;
  if (of.content == kNone && trace_end == fixed.content_offset) {
    into.push_back({payload + fixed.head_length, of.wire});
  } else {
    if (fixed.trace_length > 0) into.push_back({payload + fixed.head_length, fixed.trace_length});
    if (of.content == kNone) {
      into.push_back({payload + fixed.content_offset, fixed.content_length});
    }
    for (uint32_t chunk = of.content; chunk != kNone;) {
      const MemoryBlock& block = impl_->blocks[chunk];
      into.push_back({block.memory, block.used});
      chunk = block.next_chunk;
    }
  }
  if (!with_dot) trim(into, first, kClosing);
}

uint64_t Spool::wire_size(StoredHandle message) const { return impl_->messages.get(message).wire; }

MessageId Spool::id(StoredHandle message) const { return {impl_->messages.get(message).id}; }

}  // namespace ringmta::spool
