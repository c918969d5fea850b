// SPDX-License-Identifier: GPL-3.0-or-later
// Reading of a segment. The file is read through a window of a megabyte that stays in the cache,
// and every octet that matters is checked.
#include "scan.h"

#include <algorithm>

#include "ringmta/base/assert.h"
#include "ringmta/ring/disk.h"

namespace ringmta::spool {
namespace {

constexpr uint64_t kWindow = 1'048'576;

// A part of the file that is in memory.
class Window final {
 public:
  Window(const std::string& path, uint64_t size) : path_(path), size_(size) {}

  // [offset, offset + length), less at the end of the file; valid until the next call.
  Bytes at(uint64_t offset, uint64_t length) {
    if (offset >= size_) return {};
    length = std::min(length, size_ - offset);
    if (offset < begin_ || offset + length > begin_ + data_.size()) {
      read(offset / kBlock * kBlock, std::max(kWindow, length + kBlock));
    }
    return Bytes(data_).subspan(offset - begin_, length);
  }
  uint64_t unreadable_octets() const { return unreadable_; }

 private:
  void read(uint64_t offset, uint64_t length) {
    length = std::min(length, size_ - offset);
    begin_ = offset;
    Result<std::vector<std::byte>> data = ring::disk::read(path_, offset, length);
    if (data && data->size() == length) {
      data_ = std::move(*data);
      return;
    }
    read_blocks(offset, length);
  }
  // What cannot be read counts as zeroes.
  void read_blocks(uint64_t offset, uint64_t length) {
    data_.assign(length, std::byte{0});
    for (uint64_t at = 0; at < length; at += kBlock) {
      const uint64_t octets = std::min<uint64_t>(kBlock, length - at);
      const Result<std::vector<std::byte>> block = ring::disk::read(path_, offset + at, octets);
      if (block && block->size() == octets) {
        std::copy(block->begin(), block->end(), data_.begin() + static_cast<ptrdiff_t>(at));
      } else {
        unreadable_ += octets;
      }
    }
  }

  const std::string& path_;
  uint64_t size_;
  uint64_t begin_ = 0;
  uint64_t unreadable_ = 0;
  std::vector<std::byte> data_;
};

class Scanner final {
 public:
  Scanner(Scan& scan, Window& window, uint64_t limit)
      : scan_(scan),
        window_(window),
        limit_(std::min(limit, scan.size)),
        place_{scan.epoch, scan.number},
        sequence_(scan.epoch >> kEpochRandomBits) {}

  void run() {
    uint64_t at = kBlock;
    while (at + kBlock <= limit_) {
      const auto header = load<BatchHeader>(window_.at(at, sizeof(BatchHeader)).data());
      if (valid(header, place_, limit_ - at)) {
        scan_.last_begin = at;
        batch(at, header);
        at += header.length;
        scan_.end = at;
        for (DamagedBatch& before : scan_.damaged) before.followed = true;
        if (damage_.end != 0) scan_.damaged.push_back(damage_);
        damage_ = {};
        continue;
      }
      const uint64_t following = find_batch(at + kBlock);
      const uint64_t end = following == 0 ? limit_ : following;
      const uint32_t before = found_;
      const uint64_t last = search(at, end, UINT32_MAX);
      if (following == 0 && found_ == before) break;
      DamagedBatch damage;
      damage.begin = at;
      damage.end = following == 0 ? round_up(last, kBlock) : following;
      damage.whole = found_ - before;
      damage.lost = following == 0 ? 0 : 1;  // how many is not known
      damage.sequence = sequence_;
      scan_.damaged.push_back(damage);
      scan_.end = damage.end;
      scan_.last_begin = at;
      if (following == 0) break;
      at = following;
    }
    scan_.last_sequence = std::max(scan_.last_sequence, sequence_);
  }

 private:
  void batch(uint64_t at, const BatchHeader& header) {
    sequence_ = header.sequence;
    scan_.last_sequence = std::max(scan_.last_sequence, header.sequence);
    scan_.shard = static_cast<uint16_t>(header.shard);
    if (at == kBlock) {
      scan_.previous_number = header.previous_number;
      scan_.previous_epoch = header.previous_epoch;
      scan_.previous_end = header.previous_end;
    }
    const bool known_damage = (header.flags & BatchHeader::kDamageKnown) != 0;
    const uint64_t end = at + header.length;
    if (!known_damage && walk(at, end, header.records)) return;
    const uint32_t before = found_;
    search(at, end, header.records);
    if (known_damage) return;
    damage_.begin = at;
    damage_.end = end;
    damage_.has_header = true;
    damage_.whole = found_ - before;
    damage_.lost = header.records - std::min(header.records, damage_.whole);
    damage_.sequence = sequence_;
  }

  // Record after record; true: all of them are whole. What it finds counts only then.
  bool walk(uint64_t begin, uint64_t end, uint32_t records) {
    const Marks marks = mark();
    uint64_t at = begin + sizeof(BatchHeader);
    uint32_t seen = 0;
    while (seen < records) {
      if (at + sizeof(RecordHeader) > end && at + kRecordAlign > end) break;
      const Bytes start = window_.at(at, sizeof(RecordHeader));
      if (start.size() < sizeof(uint32_t)) break;
      if (load<uint32_t>(start.data()) == 0) {
        at = (at / kBlock + 1) * kBlock;
        if (at >= end) break;
        continue;
      }
      const uint64_t next = record(at, end);
      if (next == 0) break;
      at = next;
      ++seen;
    }
    if (seen == records) return true;
    restore(marks);
    return false;
  }

  // Whole records wherever they lie; the end of the last one.
  uint64_t search(uint64_t begin, uint64_t end, uint32_t records_max) {
    uint64_t at = begin + sizeof(BatchHeader);
    uint64_t last = at;
    uint32_t seen = 0;
    while (at + sizeof(RecordHeader) <= end && seen < records_max) {
      const Bytes start = window_.at(at, sizeof(RecordHeader));
      if (start.size() < sizeof(RecordHeader)) break;
      if (known(load<uint32_t>(start.data()))) {
        const uint64_t next = record(at, end);
        if (next != 0) {
          at = last = next;
          ++seen;
          continue;
        }
        if (const uint64_t past = past_record(at, end); past != 0) {
          at = past;  // its payload is damaged, but where it ends is sure
          continue;
        }
      }
      at += kRecordAlign;
    }
    return last;
  }

  uint64_t past_record(uint64_t at, uint64_t end) {
    const auto header = load<RecordHeader>(window_.at(at, sizeof(RecordHeader)).data());
    if (header.header_crc != header_check(header, place_, at)) return 0;
    const uint64_t next = at + sizeof(header) + header.length;
    return next > end ? 0 : round_up(next, kRecordAlign);
  }

  // Takes the record at `at` when it is whole; where the next one may begin, 0: it is not.
  uint64_t record(uint64_t at, uint64_t end) {
    const Bytes start = window_.at(at, sizeof(RecordHeader));
    if (start.size() < sizeof(RecordHeader)) return 0;
    const auto header = load<RecordHeader>(start.data());
    const uint64_t past = at + sizeof(header) + header.length;
    if (!known(header.type) || past > end ||
        header.header_crc != header_check(header, place_, at)) {
      return 0;
    }
    const Bytes payload = window_.at(at + sizeof(header), header.length);
    if (payload.size() != header.length ||
        !check_payload(header.type, payload, header.payload_crc) ||
        !take(static_cast<RecordType>(header.type), payload, at)) {
      return 0;
    }
    ++found_;
    return round_up(past, kRecordAlign);
  }

  bool take(RecordType type, Bytes payload, uint64_t at) {
    switch (type) {
      case RecordType::message:
        return take_message(payload, at);
      case RecordType::states:
        return take_states(payload);
      case RecordType::tombstone:
        return take_gone(payload);
      case RecordType::never:
        return take_never(payload);
      case RecordType::checkpoint:
        return take_checkpoint(payload);
    }
    return false;
  }

  bool take_message(Bytes payload, uint64_t at) {
    const auto fixed = message_fixed(payload);
    // Right checksums do not make a head: nobody above could do anything with one that is none.
    if (!fixed || !decode_head(payload.first(fixed->head_length), recipients_)) return false;
    scan_.highest_id = std::max(scan_.highest_id, fixed->id);
    scan_.messages.push_back({fixed->id, static_cast<uint32_t>(at / kRecordAlign),
                              static_cast<uint32_t>(payload.size()),
                              fixed->trace_length + fixed->content_length, fixed->recipients});
    return true;
  }

  bool take_gone(Bytes payload) {
    Reader reader(payload);
    while (!reader.at_end()) {
      const uint64_t id = reader.u64();
      if (!reader.ok()) return false;
      scan_.highest_id = std::max(scan_.highest_id, id);
      scan_.gone.push_back(id);
    }
    return true;
  }

  bool take_never(Bytes payload) {
    Reader reader(payload);
    ScannedNever never;
    never.number = static_cast<uint32_t>(reader.varint());
    never.epoch = reader.u64();
    never.offset = reader.varint();
    if (!reader.ok()) return false;
    scan_.nevers.push_back(never);
    return true;
  }

  bool take_states(Bytes payload) {
    Reader reader(payload);
    while (!reader.at_end()) {
      const uint64_t id = reader.u64();
      const uint64_t count = reader.varint();
      for (uint64_t i = 0; i < count && reader.ok(); ++i) {
        scan_.states.push_back({id, sequence_, reader.state()});
      }
      if (!reader.ok()) return false;
    }
    return true;
  }

  bool take_checkpoint(Bytes payload) {
    Reader reader(payload);
    ScannedCheckpoint checkpoint;
    checkpoint.number = static_cast<uint32_t>(reader.varint());
    checkpoint.epoch = reader.u64();
    checkpoint.sequence = sequence_;
    uint32_t offset = 0;
    while (reader.ok() && !reader.at_end()) {
      offset += static_cast<uint32_t>(reader.varint());
      const uint64_t count = reader.varint();
      for (uint64_t i = 0; i < count && reader.ok(); ++i) {
        checkpoint.states.push_back(
            {static_cast<uint32_t>(checkpoint.offsets.size()), reader.state()});
      }
      checkpoint.offsets.push_back(offset);
    }
    if (!reader.ok()) return false;
    scan_.checkpoints.push_back(std::move(checkpoint));
    return true;
  }

  // The next valid batch header at or after `at`; 0: none.
  uint64_t find_batch(uint64_t at) {
    for (; at + kBlock <= limit_; at += kBlock) {
      const auto header = load<BatchHeader>(window_.at(at, sizeof(BatchHeader)).data());
      if (header.magic == kBatchMagic && valid(header, place_, limit_ - at)) return at;
    }
    return 0;
  }

  struct Marks {
    size_t messages, gone, nevers, states, checkpoints;
    uint32_t found;
  };
  Marks mark() const {
    return {scan_.messages.size(), scan_.gone.size(),        scan_.nevers.size(),
            scan_.states.size(),   scan_.checkpoints.size(), found_};
  }
  void restore(const Marks& marks) {
    scan_.messages.resize(marks.messages);
    scan_.gone.resize(marks.gone);
    scan_.nevers.resize(marks.nevers);
    scan_.states.resize(marks.states);
    scan_.checkpoints.resize(marks.checkpoints);
    found_ = marks.found;
  }

  Scan& scan_;
  Window& window_;
  uint64_t limit_;
  Place place_;
  DamagedBatch damage_;
  uint64_t sequence_;
  uint32_t found_ = 0;
  std::vector<smtp::RecipientView> recipients_;  // of the last head that was looked at
};

// Where the header is lost: the newest life that any batch belongs to.
uint64_t newest_epoch(Window& window, const Scan& scan) {
  uint64_t epoch = 0;
  for (uint64_t at = kBlock; at + kBlock <= scan.size; at += kBlock) {
    const auto header = load<BatchHeader>(window.at(at, sizeof(BatchHeader)).data());
    if (header.magic == kBatchMagic && valid(header, {header.epoch, scan.number}, scan.size - at)) {
      epoch = std::max(epoch, header.epoch);
    }
  }
  return epoch;
}

bool all_zero(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

Result<Scan> scan_segment(const std::string& path, uint32_t number, uint64_t limit) {
  Scan scan;
  scan.path = path;
  scan.number = number;
  const Result<uint64_t> size = ring::disk::size(path);
  if (!size) return std::unexpected(size.error());
  scan.size = *size;
  Window window(path, scan.size);
  const Bytes first = window.at(0, kBlock);
  if (const auto header = segment_header(first, number)) {
    scan.epoch = header->epoch;
    scan.size_made = header->size;
    scan.highest_id = header->highest_id;
    scan.kind = header->use == SegmentUse::open    ? Scan::Kind::log
                : header->use == SegmentUse::spare ? Scan::Kind::spare
                                                   : Scan::Kind::retired;
  } else if (all_zero(first) && window.unreadable_octets() == 0) {
    scan.kind = Scan::Kind::unfinished;
    const uint64_t epoch = newest_epoch(window, scan);
    if (epoch != 0) {
      scan.epoch = epoch;
      scan.header_damaged = true;
      scan.kind = Scan::Kind::log;
    }
  } else if (const uint64_t epoch = newest_epoch(window, scan); epoch != 0) {
    scan.epoch = epoch;
    scan.header_damaged = true;
    scan.kind = Scan::Kind::log;
  }
  if (scan.kind == Scan::Kind::log) Scanner(scan, window, limit).run();
  scan.unreadable_octets = window.unreadable_octets();
  return scan;
}

}  // namespace ringmta::spool
