// SPDX-License-Identifier: GPL-3.0-or-later
// Start-up: all segments are scanned by several threads, what they say is merged, and each shard
// takes its part.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "merge.h"
#include "repair.h"
#include "ringmta/base/crc32c.h"
#include "ringmta/base/log.h"
#include "ringmta/ring/disk.h"
#include "scan.h"
#include "spool_impl.h"

namespace ringmta::spool {
namespace {

constexpr uint32_t kThreadsMax = 16;
constexpr uint64_t kHeadsWindow = 1'048'576;

struct File {
  std::string path;
  uint32_t number = 0;
};

// The segments in the directory; remains of interrupted replacements are removed.
Result<std::vector<File>> find_files(const std::string& directory) {
  const Result<std::vector<std::string>> names = ring::disk::list(directory);
  if (!names) return std::unexpected(names.error());
  std::vector<File> files;
  for (const std::string& name : *names) {
    uint32_t number = 0;
    if (parse_segment_name(name, number)) {
      files.push_back({directory + "/" + name, number});
    } else if (name.ends_with(".new") &&
               parse_segment_name(name.substr(0, name.size() - 4), number)) {
      static_cast<void>(ring::disk::remove(directory + "/" + name));
    }
  }
  return files;
}

Result<std::vector<Scan>> scan_all(const std::vector<File>& files, uint32_t threads) {
  std::vector<Scan> scans(files.size());
  std::atomic<size_t> next{0};
  std::mutex mutex;
  Status status;
  const auto work = [&] {
    for (size_t i = next++; i < files.size(); i = next++) {
      Result<Scan> scan = scan_segment(files[i].path, files[i].number);
      if (scan) {
        scans[i] = std::move(*scan);
      } else {
        const std::lock_guard lock(mutex);
        status = std::unexpected(scan.error());
      }
    }
  };
  threads = std::min({threads, kThreadsMax, static_cast<uint32_t>(files.size())});
  if (threads <= 1) {
    work();
  } else {
    std::vector<std::jthread> workers;
    for (uint32_t i = 0; i < threads; ++i) workers.emplace_back(work);
  }
  if (!status) return std::unexpected(status.error());
  return scans;
}

// Numbers are given one after the other and never given up, so a gap is a file that went missing.
// What is no segment of ours says nothing about how far they were given.
void find_missing(const std::string& directory, const std::vector<Scan>& scans,
                  RecoveryResult& result) {
  std::set<uint32_t> known;
  const auto was_given = [&](uint32_t number) {
    uint32_t& count = result.numbers[number & 0xFF];
    count = std::max(count, number >> 8);
  };
  for (const Scan& scan : scans) {
    known.insert(scan.number);
    if (scan.kind != Scan::Kind::foreign) was_given(scan.number);
  }
  const Result<std::vector<std::string>> set_aside = ring::disk::list(directory + "/quarantine");
  if (set_aside) {
    for (const std::string& name : *set_aside) {
      uint32_t number = 0;
      const std::string segment = name.substr(0, name.find('-', name.find('-', 8) + 1));
      if (!parse_segment_name(segment, number)) continue;
      known.insert(number);
      if (!name.ends_with(kUnknown)) was_given(number);
    }
  }
  for (uint32_t shard = 0; shard < kShardsMax; ++shard) {
    for (uint32_t count = 1; count < result.numbers[shard]; ++count) {
      if (known.contains(count << 8 | shard)) continue;
      const uint32_t first = count;
      while (count + 1 < result.numbers[shard] && !known.contains((count + 1) << 8 | shard))
        ++count;
      result.result.findings.push_back(
          fmt::format("{}{} missing: messages that lay there are lost; look for the files and put "
                      "them back before the next start",
                      segment_name(first << 8 | shard),
                      first == count ? " is" : " to " + segment_name(count << 8 | shard) + " are"));
    }
  }
}

// What failed writes left never was, as notes in other segments say: those segments are read again,
// and no further than to there. (A note of a failed write that lies in what another failed write
// left is true all the same.)
Status leave_out_voids(std::vector<Scan>& scans) {
  std::map<std::pair<uint32_t, uint64_t>, uint64_t> voids;
  for (const Scan& scan : scans) {
    for (const ScannedNever& never : scan.nevers) {
      const auto [at, is_new] = voids.try_emplace({never.number, never.epoch}, never.offset);
      if (!is_new) at->second = std::min(at->second, never.offset);
    }
  }
  for (Scan& scan : scans) {
    const auto found = voids.find({scan.number, scan.epoch});
    if (found == voids.end() || scan.kind != Scan::Kind::log) continue;
    scan.void_from = found->second;
    if (scan.end <= scan.void_from) continue;
    Result<Scan> again = scan_segment(scan.path, scan.number, scan.void_from);
    if (!again) return std::unexpected(again.error());
    again->void_from = scan.void_from;
    again->void_end = scan.end;
    // What was given out once is not given out again.
    again->highest_id = std::max(again->highest_id, scan.highest_id);
    again->last_sequence = std::max(again->last_sequence, scan.last_sequence);
    scan = std::move(*again);
  }
  return {};
}

// What is no log: remains of making are emptied, the unknown is set aside.
void sort_out(const std::string& directory, std::vector<Scan>& scans, RecoveryResult& result) {
  for (Scan& scan : scans) {
    if (scan.kind == Scan::Kind::foreign) {
      ++result.result.quarantined_segments;
      const bool was_ours = scan.number >> 8 < result.numbers[scan.number & 0xFF];
      result.result.findings.push_back(quarantine_file(directory, scan, was_ours));
    }
    // Opened, and nothing was written.
    if (scan.kind == Scan::Kind::log && scan.end == kBlock && scan.damaged.empty() &&
        scan.size >= scan.size_made && scan.unreadable_octets == 0 &&
        acknowledged_end(scans, scan) == 0) {
      scan.kind = Scan::Kind::spare;
    }
  }
  std::erase_if(scans, [](const Scan& scan) { return scan.kind == Scan::Kind::foreign; });
}

}  // namespace

Result<std::unique_ptr<Recovery>> recover(const std::string& directory, uint32_t shards,
                                          uint32_t threads) {
  if (Status made = ring::disk::make_directory(directory); !made) {
    return std::unexpected(made.error());
  }
  if (shards == 0 || shards > kShardsMax) {
    return fail(fmt::format("the number of shards must be from 1 to {}", kShardsMax));
  }
  const Result<std::vector<File>> files = find_files(directory);
  if (!files) return std::unexpected(files.error());
  Result<std::vector<Scan>> scans = scan_all(*files, threads);
  if (!scans) return std::unexpected(scans.error());

  auto result = std::make_unique<RecoveryResult>();
  result->shards = shards;
  find_missing(directory, *scans, *result);
  sort_out(directory, *scans, *result);
  if (Status left_out = leave_out_voids(*scans); !left_out) {
    return std::unexpected(left_out.error());
  }
  repair(directory, *scans, result->result);
  for (const Scan& scan : *scans) {
    result->sequence =
        std::max({result->sequence, scan.epoch >> kEpochRandomBits, scan.last_sequence});
    result->id = std::max(result->id, scan.highest_id);
  }
  merge(*scans, *result);
  assign_shards(*scans, *result);
  result->shared = std::make_shared<SharedLives>(result->segments.size());
  for (const RecoveredSegment& segment : result->segments) {
    if (segment.use != SegmentUse::retired) ++result->result.segments;
  }
  return result;
}

// This shard's part: segments, and a slot for each message that lives in them.
void Spool::Impl::take_over(RecoveryResult& from) {
  const uint16_t mine = options.shard.value;
  RINGMTA_ASSERT(mine < from.shards);
  sequence = from.sequence;
  last_id_ms = from.id >> 22;
  last_id_count = UINT16_MAX;
  if (from.shards > 1) shared = from.shared;
  numbers_made = from.numbers[mine];
  std::vector<uint16_t> index_of(from.segments.size(), kNoSegment);
  for (uint32_t i = 0; i < from.segments.size(); ++i) {
    if (from.segments[i].shard != mine) continue;
    index_of[i] = static_cast<uint16_t>(segments.size());
    segments.push_back(std::make_unique<Segment>());
  }
  for (uint32_t i = 0; i < from.segments.size(); ++i) {
    if (index_of[i] == kNoSegment) continue;
    Segment& of = segment(index_of[i]);
    of.index = index_of[i];
    if (shared != nullptr) of.shared_life = i;
    const auto tie = [&](uint32_t to, std::vector<Segment::About>& own,
                         std::vector<uint32_t>& others) {
      if (index_of[to] == kNoSegment) {
        others.push_back(to);
      } else {
        own.push_back({from.segments[to].epoch, index_of[to]});
      }
    };
    for (const uint32_t to : from.segments[i].about) tie(to, of.about, of.about_others);
    for (const uint32_t to : from.segments[i].sources) tie(to, of.sources, of.sources_others);
    take_over_segment(of, from.segments[i]);
    if (of.living > 0) recovered.push_back(std::move(from.segments[i]));
  }
  if (spares.empty()) go_on_writing(from, index_of);
}

// Without a spare segment, perhaps on a full disk, notes at least must have a place: the log goes
// on in the segment that was written last, if it ends cleanly. (Not as a rule: a new segment is
// free of whatever a crash may have left behind the end.)
void Spool::Impl::go_on_writing(const RecoveryResult& from, const std::vector<uint16_t>& index_of) {
  uint32_t newest = UINT32_MAX;
  for (uint32_t i = 0; i < from.segments.size(); ++i) {
    const RecoveredSegment& candidate = from.segments[i];
    if (index_of[i] == kNoSegment || candidate.use != SegmentUse::open) continue;
    if (newest == UINT32_MAX || candidate.epoch > from.segments[newest].epoch) newest = i;
  }
  // A checkpoint of it would not list what is written now.
  if (newest == UINT32_MAX || !from.segments[newest].whole ||
      from.segments[newest].checkpoint_sequence != 0) {
    return;
  }
  Segment& of = segment(index_of[newest]);
  if (of.write_at + kBlock > of.size || !open_file(of)) return;
  std::erase(dead, of.index);
  of.listed_dead = false;
  of.state = Segment::State::head;
  log_head = of.index;
}

void Spool::Impl::take_over_segment(Segment& of, const RecoveredSegment& from) {
  of.number = from.number;
  of.epoch = of.next_epoch = from.epoch;
  of.size = from.size;
  of.write_at = of.acknowledged = of.prepared = from.end;
  of.last_sequence = from.last_sequence;
  of.checkpoint_sequence = from.checkpoint_sequence;
  if (from.use == SegmentUse::retired) {
    of.state = Segment::State::absent;
    absent.push_back(of.index);
    return;
  }
  counters.disk_octets += of.size;
  ++counters.segments;
  if (from.use == SegmentUse::spare && of.size == options.segment_size) {
    of.prepared = of.size;
    of.state = Segment::State::spare;
    spares.push_back(of.index);
    return;
  }
  of.uncovered = from.uncovered;
  size_t state = 0;
  of.entries.reserve(from.messages.size());
  for (uint32_t m = 0; m < from.messages.size(); ++m) {
    const RecoveredMessage& found = from.messages[m];
    const uint32_t slot = messages.take();
    Message& message = messages[slot];
    message.id = found.id;
    message.segment = of.index;
    message.offset = found.offset;
    message.length = found.length;
    message.wire = found.wire;
    message.set(Message::kCommitted);
    for (; state < from.states.size() && from.states[state].message == m; ++state) {
      merge_states(message, {&from.states[state].state, 1});
    }
    of.entries.push_back({slot, found.offset});
    ++of.living;
    of.living_octets += found.length;
    ++counters.messages;
  }
  seal_segment(of);
}

namespace {

// Heads of a segment's messages, read in order.
class HeadReader final {
 public:
  HeadReader(std::string path, const RecoveredSegment& segment)
      : path_(std::move(path)), segment_(segment) {}

  // The encoded head of a message; false: it cannot be read, or is not what it was.
  bool read(const RecoveredMessage& message, std::vector<std::byte>& head) {
    const uint64_t offset = uint64_t{message.offset} * kRecordAlign;
    Bytes start = at(offset, sizeof(RecordHeader) + sizeof(MessageFixed));
    if (start.size() < sizeof(RecordHeader) + sizeof(MessageFixed)) return false;
    const auto header = load<RecordHeader>(start.data());
    const auto fixed = load<MessageFixed>(start.data() + sizeof(RecordHeader));
    if (header.length != message.length || fixed.id != message.id ||
        fixed.content_offset > message.length || fixed.head_length > fixed.content_offset ||
        header.header_crc != header_check(header, {segment_.epoch, segment_.number}, offset)) {
      return false;
    }
    const Bytes until_content = at(offset + sizeof(RecordHeader), fixed.content_offset);
    if (until_content.size() != fixed.content_offset ||
        crc32c(until_content) != header.payload_crc) {
      return false;
    }
    head.assign(until_content.begin(), until_content.begin() + fixed.head_length);
    return true;
  }

 private:
  // Big messages' contents are passed over: then a small window does.
  Bytes at(uint64_t offset, uint64_t length) {
    if (offset < begin_ || offset + length > begin_ + data_.size()) {
      const uint64_t each = segment_.end / std::max<size_t>(1, segment_.messages.size());
      const uint64_t window = each > kBlock * 8 ? kBlock * 2 : kHeadsWindow;
      Result<std::vector<std::byte>> data =
          ring::disk::read(path_, offset, std::max(length, window));
      data_ = data ? std::move(*data) : std::vector<std::byte>{};
      begin_ = offset;
    }
    return data_.size() < offset - begin_ + length ? Bytes{}
                                                   : Bytes(data_).subspan(offset - begin_, length);
  }

  std::string path_;
  const RecoveredSegment& segment_;
  uint64_t begin_ = 0;
  std::vector<std::byte> data_;
};

}  // namespace

void Spool::for_each_recovered(const std::function<void(StoredHandle, const Recovered&)>& visit) {
  Impl& in = *impl_;
  Recovered message;
  for (RecoveredSegment& from : in.recovered) {
    const auto of = std::find_if(in.segments.begin(), in.segments.end(), [&](const auto& segment) {
      return segment->number == from.number;
    });
    HeadReader heads(in.path_of(**of), from);
    for (size_t m = 0; m < from.messages.size(); ++m) {
      const RecoveredMessage& found = from.messages[m];
      const Entry entry = (*of)->entries[m];
      if (!in.lives(**of, entry)) continue;
      message.id = {found.id};
      message.segment_number = from.number;
      message.offset = found.offset * kRecordAlign;
      message.length = found.length;
      message.states.clear();
      append_states(in.messages[entry.slot], message.states);
      if (!heads.read(found, message.head)) {
        log(LogLevel::error,
            "spool: the head of message {} in {} cannot be read any more; it is kept, but cannot "
            "be delivered before the next start finds it whole",
            view(to_text({found.id})), in.path_of(**of));
        continue;
      }
      visit(in.messages.handle(entry.slot), message);
    }
    from.messages = {};
  }
  in.recovered.clear();
  in.recovered.shrink_to_fit();
}

}  // namespace ringmta::spool
