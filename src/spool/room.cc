// SPDX-License-Identifier: GPL-3.0-or-later
// Room to write: segments are made, pre-written, opened and given back here, always ahead of need
// and never in the way of a write.
//
// The insight: overwriting blocks that were written before is 2.5 times as fast as appending, since
// no file system metadata changes. So a new segment is filled with zeroes first, a bounded piece at
// a time, in the background. Only when mail would have to wait for that is a segment used as soon
// as its space is reserved; the pieces then run ahead of the batches.
//
// When no segment can be made (disk full, limit reached, error), what is at hand is used up except
// for the last segment, which is kept for notes; making is tried again every second.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "ringmta/base/log.h"
#include "ringmta/ring/disk.h"
#include "spool_impl.h"

namespace ringmta::spool {
namespace {

constexpr uint64_t kPiece = 1'048'576;  // pre-written at a time
constexpr size_t kZeroes = 262'144;
constexpr Milliseconds kAgainAfter = seconds(1);
constexpr Milliseconds kTellEvery = minutes(1);
constexpr uint32_t kSurplus = 4;  // more spares than wanted that are kept all the same

alignas(kBlock) std::byte zeroes[kZeroes];  // never written to

}  // namespace

std::string Spool::Impl::path_of(const Segment& of) const {
  return options.directory + "/" + segment_name(of.number);
}

uint32_t Spool::Impl::ready() const {
  return static_cast<uint32_t>(spares.size()) + (next != kNoSegment ? 1 : 0) +
         (opening != kNoSegment ? 1 : 0);
}

uint64_t Spool::Impl::room_for_notes() const {
  const uint64_t in_head =
      log_head == kNoSegment ? 0 : segment(log_head).size - segment(log_head).write_at;
  return in_head + ready() * (options.segment_size - kBlock);
}

uint64_t Spool::Impl::room_for_messages() const {
  if (ready() == 0) return 0;
  return room_for_notes() - (options.segment_size - kBlock);
}

// Mail waits for a segment, or would, at the next batch.
bool Spool::Impl::in_a_hurry() const {
  if (log_head == kNoSegment && ready() == 0) return true;
  return ready() < 2 && !queued.empty() && queued.front()->closed();
}

bool Spool::Impl::making_wanted() const {
  return making.step == Making::Step::none && ready() + ends_in_flight < wanted_ready();
}

void Spool::Impl::tend_segments() {
  open_next();
  if (making_wanted() && io.now() >= make_again_at) begin_making();
  give_back_surplus();
}

void Spool::Impl::begin_making() {
  if (options.disk_max != 0 && counters.disk_octets + options.segment_size > options.disk_max) {
    return making_failed("its limit on disk is reached", ENOSPC);
  }
  const Result<uint64_t> available = ring::disk::free_bytes(options.directory);
  if (available && *available < options.disk_reserve + options.segment_size) {
    return making_failed(fmt::format("{} octets are free on the file system, {} of them reserved",
                                     *available, options.disk_reserve),
                         ENOSPC);
  }
  uint16_t index = kNoSegment;
  if (!absent.empty()) {
    index = absent.back();
    absent.pop_back();
  } else {
    if (segments.size() >= kNoSegment) return making_failed("it has too many segments", ENOSPC);
    index = static_cast<uint16_t>(segments.size());
    segments.push_back(std::make_unique<Segment>());
    segments.back()->index = index;
    segments.back()->number = ++numbers_made << 8 | options.shard.value;
  }
  Segment& made_one = segment(index);
  making = {};
  making.segment = index;
  made_one.state = Segment::State::making;
  made_one.size = options.segment_size;
  counters.disk_octets += made_one.size;
  if (Status opened_it = open_file(made_one); !opened_it) {
    return making_failed(opened_it.error().message, opened_it.error().code);
  }
  making.step = Making::Step::allocate;
  ++operations;
  io.allocate_file(made_one.file, made_one.size, token_for(Operation::make, 0));
}

Status Spool::Impl::open_file(Segment& of) {
  if (of.file) return {};
  const std::string path = path_of(of);
  if (direct) {
    Result<ring::FileId> file = io.open_file(path, ring::OpenMode::write_direct);
    if (file) {
      of.file = *file;
      return {};
    }
    if (options.write_mode == WriteMode::direct || file.error().code != EINVAL) {
      return std::unexpected(file.error());
    }
    direct = false;
  }
  Result<ring::FileId> file = io.open_file(path, ring::OpenMode::write);
  if (!file) return std::unexpected(file.error());
  of.file = *file;
  return {};
}

void Spool::Impl::close_file(Segment& of) {
  if (of.file) io.close_file(of.file);
  of.file = {};
}

void Spool::Impl::made(int32_t result) {
  Segment& of = segment(making.segment);
  switch (making.step) {
    case Making::Step::none:
      break;
    case Making::Step::allocate:
      // Where the file system cannot reserve, pre-writing does.
      if (result < 0 && result != -EOPNOTSUPP && result != -EINVAL) {
        return making_failed("space could not be reserved", -result);
      }
      making.step = Making::Step::size;
      ++operations;
      return io.sync_file(of.file, token_for(Operation::make, 0));
    case Making::Step::size:
      if (result < 0) return making_failed("a sync failed", -result);
      return made_size();
    case Making::Step::pieces:
      return made_piece(result);
    case Making::Step::sync:
      if (result < 0) return making_failed("a sync failed", -result);
      making.step = Making::Step::header;
      of.next_epoch = new_epoch();
      return write_header(of, SegmentUse::spare, Operation::make);
    case Making::Step::header:
      return made_header(result);
  }
}

// Its space is reserved: used at once where it is needed at once, else pre-written first.
void Spool::Impl::made_size() {
  Segment& of = segment(making.segment);
  if (in_a_hurry()) {
    making.urgent = true;
    making.step = Making::Step::header;
    of.next_epoch = new_epoch();
    return write_header(of, SegmentUse::open, Operation::make);
  }
  of.prepared = kBlock;
  making.step = Making::Step::pieces;
  prepare_piece();
}

void Spool::Impl::prepare_piece() {
  Segment& of = segment(making.segment);
  making.piece_at = of.prepared;
  if (making.urgent && of.state != Segment::State::spare) {
    making.piece_at = std::max(of.prepared, of.write_at);
  }
  making.piece_octets = std::min(kPiece, of.size - making.piece_at);
  if (making.piece_octets == 0) {
    of.prepared = of.size;
    if (making.urgent) {
      making = {};
      return;
    }
    making.step = Making::Step::sync;
    ++operations;
    return io.sync_file(of.file, token_for(Operation::make, 0));
  }
  std::array<iovec, kPiece / kZeroes> parts;
  size_t count = 0;
  for (uint64_t left = making.piece_octets; left > 0; ++count) {
    const uint64_t octets = std::min<uint64_t>(left, kZeroes);
    parts[count] = {zeroes, octets};
    left -= octets;
  }
  ++operations;
  io.write_file(of.file, {parts.data(), count}, making.piece_at, ring::Durability::none,
                token_for(Operation::make, 0));
}

void Spool::Impl::made_piece(int32_t result) {
  Segment& of = segment(making.segment);
  const bool whole = result >= 0 && static_cast<uint64_t>(result) == making.piece_octets;
  const uint64_t end = making.piece_at + making.piece_octets;
  making.piece_octets = 0;
  if (!whole) {
    if (making.urgent) {  // in use already: what is wrong will show there
      making = {};
      return;
    }
    if (fell_back(of, result)) return prepare_piece();
    return making_failed("it could not be pre-written", result < 0 ? -result : ENOSPC);
  }
  of.prepared = end;
  if (in_a_hurry()) {
    if (!making.urgent) return made_size();
    making = {};  // another segment is needed more
    return;
  }
  prepare_piece();
}

void Spool::Impl::made_header(int32_t result) {
  Segment& of = segment(making.segment);
  if (!header_written(of, result)) {
    if (fell_back(of, result)) {
      return write_header(of, making.urgent ? SegmentUse::open : SegmentUse::spare,
                          Operation::make);
    }
    return making_failed("its header could not be written", result < 0 ? -result : ENOSPC);
  }
  of.write_at = of.acknowledged = kBlock;
  of.prepared = std::max<uint64_t>(of.prepared, kBlock);
  ++counters.segments;
  if (making.urgent && next == kNoSegment) {
    of.state = Segment::State::opened;
    next = of.index;
  } else {
    of.state = Segment::State::spare;
    spares.push_back(of.index);
  }
  room_found();
  if (!making.urgent) {
    making = {};
    return;
  }
  making.step = Making::Step::pieces;
  prepare_piece();
}

void Spool::Impl::making_failed(const std::string& what, int code) {
  if (making.segment != kNoSegment) {
    Segment& of = segment(making.segment);
    close_file(of);
    static_cast<void>(ring::disk::remove(path_of(of)));
    static_cast<void>(write_retired(of));
    counters.disk_octets -= of.size;
    of.state = Segment::State::absent;
    absent.push_back(of.index);
    making = {};
  }
  make_again_at = io.now() + kAgainAfter;
  if (!no_room) no_room_why = fail_errno(what, code).error();
  no_room = true;
  // Where segments are freed as fast as they fill, room comes and goes many times a second.
  if (room_is_news || (no_room_told.ns != 0 && io.now() < no_room_told + kTellEvery)) return;
  no_room_told = io.now();
  room_is_news = true;
  log(LogLevel::error,
      "spool {}, shard {}: no new segment can be made: {}; new mail is refused (452) once what is "
      "at hand is full, delivery goes on, and it is tried again every second",
      options.directory, options.shard.value, no_room_why.message);
}

void Spool::Impl::room_found() {
  if (!no_room || ready() < 2) return;
  no_room = false;
  make_again_at = {};
  if (!std::exchange(room_is_news, false)) return;
  log(LogLevel::info, "spool {}, shard {}: there is room again", options.directory,
      options.shard.value);
}

void Spool::Impl::open_next() {
  if (next != kNoSegment || opening != kNoSegment || spares.empty()) return;
  opening = spares.front();
  Segment& of = segment(opening);
  if (making.urgent && making.segment == opening) {
    opening = kNoSegment;  // its pieces are still being written
    return;
  }
  spares.pop_front();
  if (!open_file(of)) {
    opening = kNoSegment;
    return try_later(of);
  }
  of.state = Segment::State::opening;
  of.next_epoch = new_epoch();
  write_header(of, SegmentUse::open, Operation::open);
}

void Spool::Impl::opened(uint16_t index, int32_t result) {
  Segment& of = segment(index);
  if (!header_written(of, result)) {
    if (fell_back(of, result)) return write_header(of, SegmentUse::open, Operation::open);
    opening = kNoSegment;
    ++counters.write_errors;
    // Nothing rests on it. Where no other can be made, not even for notes, it is the only place
    // that outcomes may come to: its whole header is written again later.
    if (no_room && ready() == 0) return try_later(of);
    quarantine(of);
    return;
  }
  opening = kNoSegment;
  of.state = Segment::State::opened;
  of.write_at = of.acknowledged = kBlock;
  next = index;
}

// Some file systems take O_DIRECT when a file is opened and refuse it when it is written.
bool Spool::Impl::fell_back(Segment& of, int32_t result) {
  if (result != -EINVAL || !direct || options.write_mode != WriteMode::automatic) return false;
  direct = false;
  close_file(of);
  return open_file(of).has_value();
}

void Spool::Impl::write_header(Segment& of, SegmentUse use, Operation operation) {
  SegmentHeader header;
  header.number = of.number;
  header.epoch = of.next_epoch;
  header.size = of.size;
  header.highest_id = highest_id();
  header.use = use;
  of.header_block = blocks.take(kBlock);
  put_segment_header(header, blocks[of.header_block].memory);
  const iovec part{blocks[of.header_block].memory, kBlock};
  ++operations;
  io.write_file(of.file, {&part, 1}, 0, durability(), token_for(operation, of.index));
}

bool Spool::Impl::header_written(Segment& of, int32_t result) {
  blocks.release(of.header_block);
  of.header_block = kNone;
  if (result != static_cast<int32_t>(kBlock)) return false;
  of.epoch = of.next_epoch;
  return true;
}

// One a second and only while nobody waits for the disk: the call blocks for a few milliseconds.
// A load that comes and goes keeps its segments that way.
void Spool::Impl::give_back_surplus() {
  if (spares.size() <= wanted_ready() + kSurplus || io.now() < give_back_at ||
      making.step != Making::Step::none || writing != nullptr || !nothing_queued()) {
    return;
  }
  give_back_at = io.now() + kAgainAfter;
  Segment& of = segment(spares.back());
  spares.pop_back();
  if (!give_back(of)) try_later(of);
}

// The file keeps its name and a header, so that a segment that is missing can be told from one that
// was given back.
Status Spool::Impl::write_retired(Segment& of) {
  std::array<std::byte, kBlock> block;
  of.next_epoch = new_epoch();
  SegmentHeader header;
  header.number = of.number;
  header.epoch = of.next_epoch;
  header.size = kBlock;
  header.highest_id = highest_id();
  header.use = SegmentUse::retired;
  put_segment_header(header, block.data());
  return ring::disk::write(path_of(of), block);
}

bool Spool::Impl::give_back(Segment& of) {
  close_file(of);
  if (Status done_it = write_retired(of); !done_it) {
    log(LogLevel::error, "spool: a segment could not be given back: {}", done_it.error().message);
    return false;
  }
  become_absent(of);
  return true;
}

void Spool::Impl::become_absent(Segment& of) {
  counters.disk_octets -= of.size;
  --counters.segments;
  forget(of);
  of.set_aside = of.ran_out = false;
  of.state = Segment::State::absent;
  absent.push_back(of.index);
}

// Nothing in it is needed, and nothing may be written to it any more.
void Spool::Impl::quarantine(Segment& of) {
  close_file(of);
  const std::string directory = options.directory + "/quarantine";
  const std::string target = fmt::format("{}/{}-{}", directory, segment_name(of.number), of.epoch);
  Status moved = ring::disk::make_directory(directory);
  if (moved) moved = ring::disk::rename(path_of(of), target);
  if (!moved) {
    log(LogLevel::error, "spool: {} cannot be set aside: {}", path_of(of), moved.error().message);
    return try_later(of);
  }
  log(LogLevel::warning, "spool: {} was set aside as {}; nothing in it is needed", path_of(of),
      target);
  // The number stays known, also when the operator clears the quarantine.
  of.next_epoch = new_epoch();
  static_cast<void>(write_retired(of));
  become_absent(of);
}

}  // namespace ringmta::spool
