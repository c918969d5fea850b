// SPDX-License-Identifier: GPL-3.0-or-later
// Judging, reporting, mending. What is changed on disk is one header at a time, within a sector, so
// that a crash here finds the old or the new.
#include "repair.h"

#include <fmt/format.h>

#include <algorithm>

#include "ringmta/ring/disk.h"

namespace ringmta::spool {
namespace {

constexpr uint64_t kEraseAtOnce = 1'048'576;

class Repair final {
 public:
  Repair(const std::string& directory, std::vector<Scan>& scans, Recovery::Report& report)
      : quarantine_(directory + "/quarantine"), scans_(scans), report_(report) {}

  void run() {
    for (Scan& scan : scans_) {
      if (scan.kind == Scan::Kind::spare) write_again(scan, 0, kBlock);
      if (scan.kind != Scan::Kind::log) continue;
      if (scan.header_damaged) mend_header(scan);
      if (scan.size < scan.size_made) {
        say(scan, fmt::format("is cut: it has {} octets and was made with {}", scan.size,
                              scan.size_made));
      }
      if (scan.unreadable_octets > 0) {
        say(scan, fmt::format("has {} octets that cannot be read (check the disk)",
                              scan.unreadable_octets));
      }
      const uint64_t acknowledged = acknowledged_end(scans_, scan);
      for (DamagedBatch damage : scan.damaged) {
        // At the end of a file that was cut, something acknowledged is gone for all we know.
        const bool is_cut = scan.size < scan.size_made;
        if (is_cut) damage.lost = std::max(damage.lost, 1U);
        judge(scan, damage, damage.followed || damage.begin < acknowledged || is_cut);
      }
      if (scan.end < acknowledged) lost_tail(scan, acknowledged);
      if (scan.end > std::max(acknowledged, scan.last_begin)) {
        write_again(scan, scan.last_begin, scan.end);
      }
    }
    // The notes that say so are durable now.
    for (Scan& scan : scans_) {
      if (scan.void_from < scan.void_end && erase(scan, scan.void_from, scan.void_end)) {
        scan.void_end = 0;
      }
    }
  }

 private:
  void say(const Scan& scan, const std::string& what) {
    report_.findings.push_back(segment_name(scan.number) + " " + what);
  }

  void judge(const Scan& scan, const DamagedBatch& damage, bool acknowledged) {
    if (!acknowledged) {
      ++report_.torn_tails;
      say(scan, fmt::format("ends at {} in a batch that was being written when the power failed or "
                            "the process was killed; {} whole records of it are kept, none of it "
                            "was acknowledged",
                            damage.begin, damage.whole));
    } else {
      report_.quarantined_records += damage.lost;
      const std::string where = save(scan, damage.begin, damage.end);
      say(scan,
          fmt::format("is damaged from {} to {}: {}{} of its records cannot be read, {} whole "
                      "ones are kept; {}",
                      damage.begin, damage.end, damage.has_header ? "" : "at least ", damage.lost,
                      damage.whole, where));
    }
    mend(scan, damage);
  }

  void lost_tail(Scan& scan, uint64_t acknowledged) {
    ++report_.quarantined_records;
    const std::string where = save(scan, scan.end, std::min(acknowledged, scan.size));
    say(scan,
        fmt::format("is damaged from {} to {}: batches that were acknowledged there are gone; "
                    "{}",
                    scan.end, acknowledged, where));
    DamagedBatch damage;
    damage.begin = scan.end;
    damage.end = acknowledged;
    damage.lost = 1;
    damage.sequence = std::max(scan.last_sequence, scan.epoch >> kEpochRandomBits);
    if (acknowledged <= scan.size) mend(scan, damage);
  }

  std::string save(const Scan& scan, uint64_t begin, uint64_t end) {
    const std::string path =
        fmt::format("{}/{}-{}-{}", quarantine_, segment_name(scan.number), scan.epoch, begin);
    const Result<std::vector<std::byte>> octets =
        ring::disk::read(scan.path, begin, end > begin ? end - begin : 0);
    if (!octets) return fmt::format("they could not be saved: {}", octets.error().message);
    Status saved = ring::disk::make_directory(quarantine_);
    if (saved) saved = ring::disk::write(path, *octets);
    if (!saved) return fmt::format("they could not be saved: {}", saved.error().message);
    return fmt::format("the octets are kept in {}", path);
  }

  // A header that says what is known now; without a whole record, none, so that nothing is found.
  void mend(const Scan& scan, const DamagedBatch& damage) {
    Result<std::vector<std::byte>> block = ring::disk::read(scan.path, damage.begin, kBlock);
    if (!block || block->size() != kBlock) return;
    BatchHeader header;
    const bool empty = damage.whole == 0 && damage.lost == 0;
    if (damage.has_header) header = load<BatchHeader>(block->data());
    if (!damage.has_header) {
      header.epoch = scan.epoch;
      header.number = scan.number;
      header.shard = scan.shard;
      header.length = static_cast<uint32_t>(damage.end - damage.begin);
      header.sequence = damage.sequence;
    }
    header.flags |= BatchHeader::kDamageKnown;
    header.records = damage.whole;
    seal(header);
    if (empty) header = BatchHeader{.magic = 0};
    store(block->data(), header);
    if (Status mended = ring::disk::overwrite(scan.path, damage.begin, *block); !mended) {
      say(scan, "could not be mended: " + mended.error().message);
    }
  }

  // The last thing written to a segment, unless it is known to be on stable storage.
  void write_again(const Scan& scan, uint64_t begin, uint64_t end) {
    const Result<std::vector<std::byte>> octets = ring::disk::read(scan.path, begin, end - begin);
    const Status written = octets ? ring::disk::overwrite(scan.path, begin, *octets)
                                  : Status(std::unexpected(octets.error()));
    if (!written) {
      say(scan, "could not be written to, what came last in it may not survive a power failure: " +
                    written.error().message);
    }
  }

  // What a failed write left, so that it need not be told for ever that it never was.
  bool erase(const Scan& scan, uint64_t begin, uint64_t end) {
    const std::vector<std::byte> zeroes(std::min(end - begin, kEraseAtOnce));
    for (uint64_t at = begin; at < end; at += zeroes.size()) {
      const Bytes piece(zeroes.data(), std::min<uint64_t>(end - at, zeroes.size()));
      if (Status erased = ring::disk::overwrite(scan.path, at, piece); !erased) {
        say(scan, "keeps what a failed write left in it: " + erased.error().message);
        return false;
      }
    }
    return true;
  }

  void mend_header(const Scan& scan) {
    ++report_.quarantined_records;
    std::vector<std::byte> block(kBlock);
    SegmentHeader header;
    header.number = scan.number;
    header.epoch = scan.epoch;
    header.size = scan.size;
    header.use = SegmentUse::open;
    put_segment_header(header, block.data());
    const Status mended = ring::disk::overwrite(scan.path, 0, block);
    say(scan, "has lost its header; what its batches tell is used" +
                  (mended ? std::string() : ", it could not be mended: " + mended.error().message));
  }

  std::string quarantine_;
  std::vector<Scan>& scans_;
  Recovery::Report& report_;
};

}  // namespace

uint64_t acknowledged_end(const std::vector<Scan>& scans, const Scan& scan) {
  uint64_t end = 0;
  for (const Scan& other : scans) {
    if (other.kind == Scan::Kind::log && other.previous_number == scan.number &&
        other.previous_epoch == scan.epoch) {
      end = std::max(end, other.previous_end);
    }
  }
  return end;
}

void repair(const std::string& directory, std::vector<Scan>& scans, Recovery::Report& report) {
  Repair(directory, scans, report).run();
}

std::string quarantine_file(const std::string& directory, const Scan& scan, bool was_ours) {
  const std::string quarantine = directory + "/quarantine";
  const std::string target = quarantine + "/" + segment_name(scan.number) + std::string(kUnknown);
  Status moved = ring::disk::make_directory(quarantine);
  if (moved) moved = ring::disk::rename(scan.path, target);
  if (moved && was_ours) {
    std::vector<std::byte> block(kBlock);
    SegmentHeader header;
    header.number = scan.number;
    header.size = kBlock;
    header.use = SegmentUse::retired;
    put_segment_header(header, block.data());
    moved = ring::disk::write(scan.path, block);
  }
  if (!moved) {
    return fmt::format("{} is no segment and could not be set aside: {}", scan.path,
                       moved.error().message);
  }
  return fmt::format("{} is no segment that can be understood; it is kept as {}", scan.path,
                     target);
}

}  // namespace ringmta::spool
