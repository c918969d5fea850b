// SPDX-License-Identifier: GPL-3.0-or-later
// Finding a message's record by what every content begins with.
#include "rot.h"

#include <algorithm>
#include <string_view>

#include "../../src/spool/format.h"
#include "ringmta/ring/disk.h"

namespace ringmta::simulation {

namespace {

constexpr std::string_view kMark = "X-Number: ";
constexpr size_t kLook = 8192;  // a record's beginning lies no further before its content

struct Record {
  size_t begin = 0, end = 0;
  uint32_t number = 0;
};

// The record that `mark` lies in; false: an old one, overwritten in part.
bool record_around(std::string_view content, size_t mark, Record& record) {
  using spool::RecordHeader;
  const size_t earliest = mark > kLook ? mark - kLook : 0;
  for (size_t at = mark / spool::kRecordAlign * spool::kRecordAlign; at > earliest;
       at -= spool::kRecordAlign) {
    const auto header = load<RecordHeader>(as_bytes(content.substr(at)).data());
    if (header.type != static_cast<uint32_t>(spool::RecordType::message)) continue;
    record.begin = at;
    record.end = at + sizeof(RecordHeader) + header.length;
    record.number = Ledger::number_in(content.substr(mark));
    return record.end > mark && record.end <= content.size();
  }
  return false;
}

}  // namespace

bool rot(sim::World& world, Ledger& ledger, Prng& random, const std::string& spool, bool anywhere) {
  const auto names = ring::disk::list(spool);
  if (!names) return false;
  std::vector<std::string> segments;
  for (const std::string& name : *names) {
    if (name.starts_with("segment")) segments.push_back(spool + "/" + name);
  }
  if (segments.empty()) return false;
  const std::string& path = segments[random.below(segments.size())];
  const auto octets = ring::disk::read(path, 0, UINT32_MAX);
  if (!octets || octets->size() < 8192) return false;
  const std::string_view content = as_text(*octets);
  const std::byte bit = std::byte{1} << random.below(8);
  if (anywhere) {
    world.flip(path, random.below(std::min<size_t>(content.size(), 65'536)), bit);
    ledger.spool_rotten = true;
    return true;
  }
  std::vector<Record> records;
  for (size_t at = content.find(kMark); at != std::string_view::npos;
       at = content.find(kMark, at + 1)) {
    Record record;
    if (record_around(content, at, record)) records.push_back(record);
  }
  if (records.empty()) return false;
  const Record& chosen = records[random.below(records.size())];
  Mail* mail = ledger.find(chosen.number);
  if (mail == nullptr) return false;
  mail->rotten = true;
  world.flip(path, chosen.begin + random.below(chosen.end - chosen.begin), bit);
  return true;
}

}  // namespace ringmta::simulation
