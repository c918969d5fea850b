// SPDX-License-Identifier: GPL-3.0-or-later
// Messages that come back into memory. Their neighbours in the log were accepted at the same time
// and are mostly wanted at the same time (their retries are due together), so a small message is
// read with what lies around it.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "ringmta/base/crc32c.h"
#include "ringmta/base/log.h"
#include "spool_impl.h"

namespace ringmta::spool {
namespace {

constexpr uint64_t kReadAhead = 65'536;

}  // namespace

void Spool::Impl::load(StoredHandle handle, uint64_t tag, bool for_move) {
  Message& message = messages.get(handle);
  if (message.block != kNone) {
    ++message.pins;
    return done(Done::What::loaded, handle, tag);
  }
  if (message.is(Message::kLoading)) {
    const auto same = std::find_if(loads.begin(), loads.end(), [&](const Load& under_way) {
      return under_way.block != kNone && under_way.message == handle;
    });
    RINGMTA_ASSERT(same != loads.end() && !for_move);
    same->tags.push_back(tag);
    return;
  }
  Segment& from = segment(message.segment);
  if (Status file = open_file(from); !file) {
    log(LogLevel::error, "spool: {}", file.error().message);
    if (for_move) {
      job.unreadable = true;
    } else {
      done(Done::What::unreadable, handle, tag);
    }
    return;
  }
  uint32_t which = static_cast<uint32_t>(loads.size());
  if (free_loads.empty()) {
    loads.emplace_back();
  } else {
    which = free_loads.back();
    free_loads.pop_back();
  }
  Load& load = loads[which];
  const uint64_t begin = message.record_offset();
  const uint64_t end = round_up(begin + sizeof(RecordHeader) + message.length, kBlock);
  load.message = handle;
  load.segment = from.index;
  load.offset = begin / kBlock * kBlock;
  load.octets = std::max(end, std::min(load.offset + kReadAhead, from.acknowledged)) - load.offset;
  load.block = blocks.take(static_cast<uint32_t>(load.octets));
  load.for_move = for_move;
  if (!for_move) load.tags.push_back(tag);
  if (for_move) ++job.loads;
  ++from.reads;
  message.set(Message::kLoading);
  ++operations;
  ++loads_in_flight;
  io.read_file(from.file, {blocks[load.block].memory, load.octets}, load.offset,
               token_for(Operation::load, which));
}

void Spool::Impl::loaded(uint32_t which, int32_t result) {
  Load load = std::move(loads[which]);
  loads[which] = {};
  Message& message = messages[load.message.index];
  Segment& from = segment(load.segment);
  --from.reads;
  --loads_in_flight;
  if (load.for_move) --job.loads;
  message.clear(Message::kLoading);
  const uint64_t octets = result < 0 ? 0 : static_cast<uint64_t>(result);
  if (message.is(Message::kEnded) && !message.is(Message::kMoving)) {
    ended_message(load.message.index);
  } else if (message.segment != load.segment) {
    // It was moved meanwhile.
    for (const uint64_t tag : load.tags) this->load(load.message, tag, false);
  } else if (install(load.message.index, load, octets)) {
    ++counters.loads;
    install_neighbours(load, octets);
    for (const uint64_t tag : load.tags) {
      ++message.pins;
      done(Done::What::loaded, load.message, tag);
    }
    if (load.for_move) move_one(load.message.index, load.tags.empty());
  } else {
    unreadable(load, result);
  }
  blocks.release(load.block);
  load.tags.clear();
  loads[which].tags = std::move(load.tags);  // its memory is used again
  free_loads.push_back(which);
  look_if_dead(from);
}

void Spool::Impl::unreadable(const Load& load, int32_t result) {
  Message& message = messages[load.message.index];
  if (load.for_move) job.unreadable = true;
  for (const uint64_t tag : load.tags) done(Done::What::unreadable, load.message, tag);
  if (message.is(Message::kUnreadable)) return;  // it is read again and again
  message.set(Message::kUnreadable);
  log(LogLevel::error,
      "spool: message {} cannot be read back from {} at {} ({}); it is kept, but cannot be "
      "delivered before that is mended",
      view(to_text({message.id})), path_of(segment(load.segment)), message.record_offset(),
      result < 0 ? fail_errno("read", -result).error().message : "its checksum does not match");
}

// The message's record, when it is whole in what was read, becomes its memory.
bool Spool::Impl::install(uint32_t slot, const Load& from, uint64_t octets) {
  Message& message = messages[slot];
  const uint64_t at = message.record_offset() - from.offset;
  if (at + sizeof(RecordHeader) + message.length > octets) return false;
  const std::byte* record = blocks[from.block].memory + at;
  const auto header = ringmta::load<RecordHeader>(record);
  const Segment& of = segment(from.segment);
  const Bytes payload{record + sizeof(header), message.length};
  if (header.type != static_cast<uint32_t>(RecordType::message) ||
      header.length != message.length ||
      header.header_crc != header_check(header, {of.epoch, of.number}, message.record_offset()) ||
      !check_message(payload, header.payload_crc) ||
      ringmta::load<MessageFixed>(payload.data()).id != message.id) {
    return false;
  }
  message.clear(Message::kUnreadable);
  message.block = from.block;
  message.memory_at = static_cast<uint16_t>(at / kRecordAlign);
  message.content = kNone;
  blocks.add_reference(from.block);
  blocks.holds(from.block, slot);
  return true;
}

void Spool::Impl::install_neighbours(const Load& from, uint64_t octets) {
  const Segment& of = segment(from.segment);
  const uint32_t begin = messages[from.message.index].offset;
  auto entry = std::upper_bound(of.entries.begin(), of.entries.end(), begin,
                                [](uint32_t at, const Entry& e) { return at < e.offset; });
  for (; entry != of.entries.end(); ++entry) {
    if (uint64_t{entry->offset} * kRecordAlign >= from.offset + octets) break;
    const Message& message = messages[entry->slot];
    if (!lives(of, *entry) || message.block != kNone || message.is(Message::kLoading)) continue;
    install(entry->slot, from, octets);
  }
}

}  // namespace ringmta::spool
