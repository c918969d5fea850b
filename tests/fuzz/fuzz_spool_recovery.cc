// SPDX-License-Identifier: GPL-3.0-or-later
// A spool whose segments hold anything: a restart recovers, gives out what it found, takes new
// mail, and the restart after it finds no less and has nothing worse to say. Checksums would keep
// nearly every input from the code behind them, so besides raw octets there are edits that are
// sealed as if this program had written them.
//
// Input: edits of two segments of a spool with a few messages. An edit begins with an octet for
// what it is and which segment, then its place, then its octets up to 0xFF.
#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "format.h"
#include "input.h"
#include "ringmta/base/assert.h"
#include "ringmta/base/crc32c.h"
#include "ringmta/ring/disk.h"
#include "ringmta/sim/world.h"
#include "ringmta/spool/spool.h"

namespace ringmta::spool {
namespace {

constexpr const char* kDirectory = "/spool";
constexpr uint64_t kSegmentSize = 65'536;
using Segment = std::vector<std::byte>;
using Segments = std::map<std::string, Segment>;

SpoolOptions options() {
  SpoolOptions options;
  options.directory = kDirectory;
  options.segment_size = kSegmentSize;
  options.disk_reserve = 0;
  options.memory_max = 1 << 20;
  options.segments_ready = 1;
  return options;
}

// One run of a shard that only keeps mail.
struct Shard {
  explicit Shard(sim::World& its_world) : world(its_world) {
    recovery = std::move(*recover(kDirectory, 1, 1));
    io = std::move(*ring::Io::create({}));
    spool = std::move(*Spool::create(*io, options(), recovery.get(), ring::Token::make(4)));
  }
  ~Shard() {
    spool.reset();
    io.reset();
    world.release_locks();
  }
  bool drive(const auto& until) {
    for (int turns = 0; turns < 3000 && !until(); ++turns) {
      const bool more = spool->flush();
      Monotonic wake = more ? io->now() : io->now() + Milliseconds{20};
      wake = std::min(wake, std::max(io->now(), spool->wants_flush_at()));
      const auto events = io->turn(wake);
      for (const ring::Event& event : events) spool->on_event(event);
      if (events.empty() && !more) world.advance(wake);
      spool->take_done(done);
    }
    return until();
  }
  StoredHandle store(std::string_view subject) {
    const smtp::RecipientView recipients[] = {{"b@two.example", {}, smtp::Notify::kFailure},
                                              {"c@two.example", "rfc822;c@two.example", 0}};
    MessageHead head;
    head.envelope.reverse_path = "a@one.example";
    head.envelope.recipients = recipients;
    head.info.arrival = io->wall();
    head.info.expiry = io->wall() + hours(24);
    head.info.client = "192.0.2.1";
    const std::string content = "Subject: " + std::string(subject) + "\r\n\r\ntext\r\n.\r\n";
    const std::string_view whole = content;
    return spool->store(spool->next_id(), head, "Received: by test\r\n", {&whole, 1}, 1);
  }

  sim::World& world;
  std::unique_ptr<Recovery> recovery;
  std::unique_ptr<ring::Io> io;
  std::unique_ptr<Spool> spool;
  std::vector<Done> done;
};

// Two segments with messages, states, tombstones and a checkpoint's worth of notes.
const Segments& template_segments() {
  static const Segments segments = [] {
    sim::World world{sim::WorldOptions{}};
    RINGMTA_ASSERT(ring::disk::make_directory(kDirectory).has_value());
    std::vector<StoredHandle> stored;
    {
      Shard shard(world);
      for (int batch = 0; batch < 12; ++batch) {
        for (int i = 0; i < 3; ++i) stored.push_back(shard.store("letter"));
        RINGMTA_ASSERT(shard.drive([&] { return shard.spool->idle(); }));
        if (batch % 2 == 0) shard.spool->finish(stored[static_cast<size_t>(batch) * 3]);
        const RecipientState state{1, Fate::delivered, false, 2, {}};
        shard.spool->record_states(stored.back(), {&state, 1});
        RINGMTA_ASSERT(shard.drive([&] { return shard.spool->idle(); }));
      }
    }
    Segments made;
    const std::vector<std::string> names = *ring::disk::list(kDirectory);
    for (const std::string& name : names) {
      if (name.starts_with("segment-") && made.size() < 2) {
        made[name] = *ring::disk::read(std::string(kDirectory) + "/" + name, 0, kSegmentSize);
      }
    }
    RINGMTA_ASSERT(made.size() == 2);
    return made;
  }();
  return segments;
}

uint32_t number_of(const Segment& segment) {
  return segment.size() < sizeof(SegmentHeader) ? 0 : load<SegmentHeader>(segment.data()).number;
}
Place place_of(const Segment& segment) {
  if (segment.size() < sizeof(SegmentHeader)) return {};
  const auto header = load<SegmentHeader>(segment.data());
  return {header.epoch, header.number};
}

uint64_t number_at(std::string_view text, size_t at, size_t octets) {
  uint64_t value = 0;
  for (size_t i = 0; i < octets && at + i < text.size(); ++i) {
    value |= static_cast<uint64_t>(static_cast<uint8_t>(text[at + i])) << (8 * i);
  }
  return value;
}

void patch(Segment& segment, uint64_t at, std::string_view octets) {
  for (size_t i = 0; i < octets.size() && at + i < segment.size(); ++i) {
    segment[at + i] = static_cast<std::byte>(octets[i]);
  }
}

// Seals whatever lies at `at` as a record of its own place, its payload edited before.
void seal_record(Segment& segment, uint64_t at, std::string_view octets) {
  if (at + sizeof(RecordHeader) > segment.size()) return;
  auto header = load<RecordHeader>(segment.data() + at);
  const uint64_t room = segment.size() - at - sizeof(RecordHeader);
  if (!known(header.type)) {
    header.type = 0x00544D52U | static_cast<uint32_t>(1 + number_at(octets, 0, 1) % 6) << 24;
    header.length = static_cast<uint32_t>(octets.size());
  }
  header.length = static_cast<uint32_t>(std::min<uint64_t>(header.length, room));
  std::byte* payload = segment.data() + at + sizeof(RecordHeader);
  // Octets come as pairs of place and value, or as the payload itself.
  if (!octets.empty() && octets[0] == '@') {
    for (size_t i = 1; i + 1 < octets.size(); i += 2) {
      const auto where = static_cast<uint8_t>(octets[i]);
      if (where < header.length) payload[where] = static_cast<std::byte>(octets[i + 1]);
    }
  } else {
    const size_t count = std::min<size_t>(octets.size(), header.length);
    std::memcpy(payload, octets.data(), count);
  }
  Bytes whole(payload, header.length);
  header.payload_crc = crc32c(whole);
  if (header.type == static_cast<uint32_t>(RecordType::message)) {
    if (const auto fixed = message_fixed(whole)) {
      store(payload + offsetof(MessageFixed, content_crc),
            crc32c(whole.subspan(fixed->content_offset)));
      header.payload_crc = crc32c(whole.first(fixed->content_offset));
    }
  }
  header.header_crc = header_check(header, place_of(segment), at);
  store(segment.data() + at, header);
}

void seal_batch(Segment& segment, uint64_t at, std::string_view octets) {
  if (at + sizeof(BatchHeader) > segment.size()) return;
  auto header = load<BatchHeader>(segment.data() + at);
  header.magic = kBatchMagic;
  header.epoch = place_of(segment).epoch;
  header.number = number_of(segment);
  header.length = static_cast<uint32_t>(1 + number_at(octets, 0, 1) % 17) * 4096;
  header.records = static_cast<uint32_t>(number_at(octets, 1, 1));
  header.sequence = number_at(octets, 2, 8);
  header.shard = static_cast<uint32_t>(number_at(octets, 10, 2));
  header.flags = static_cast<uint32_t>(number_at(octets, 12, 1));
  header.previous_number = static_cast<uint32_t>(number_at(octets, 13, 4));
  header.previous_epoch = number_at(octets, 17, 8);
  header.previous_end = static_cast<uint32_t>(number_at(octets, 25, 4));
  seal(header);
  store(segment.data() + at, header);
}

void seal_segment(Segment& segment, std::string_view octets) {
  if (segment.size() < kBlock) return;
  auto header = load<SegmentHeader>(segment.data());
  header.use = static_cast<SegmentUse>(number_at(octets, 0, 1) % 5);
  if (octets.size() > 1) header.epoch = number_at(octets, 1, 8);
  if (octets.size() > 9) header.size = number_at(octets, 9, 8);
  put_segment_header(header, segment.data());
}

Segments edited(fuzz::Input& input) {
  Segments segments = template_segments();
  while (!input.empty()) {
    const uint8_t kind = input.byte();
    Segment& segment = (kind & 1) != 0 ? segments.begin()->second : segments.rbegin()->second;
    const uint64_t block = input.byte() % 16U;
    const uint64_t at = block * kBlock + input.byte() * 8U;
    const std::string_view octets = input.until('\xFF');
    switch (kind >> 1 & 7) {
      case 0:
        patch(segment, at, octets);
        break;
      case 1:  // in the first record of a batch
        seal_record(segment, block * kBlock + sizeof(BatchHeader), octets);
        break;
      case 2:
        seal_record(segment, at, octets);
        break;
      case 3:
        seal_batch(segment, block * kBlock, octets);
        break;
      case 4:
        seal_segment(segment, octets);
        break;
      case 5:
        segment.resize(std::min<uint64_t>(segment.size(), at));
        break;
      case 6:  // a block copied to another place
        if (segment.size() >= kSegmentSize) {
          std::copy_n(
              segment.begin() + static_cast<ptrdiff_t>(block * kBlock), kBlock,
              segment.begin() + static_cast<ptrdiff_t>(number_at(octets, 0, 1) % 16 * kBlock));
        }
        break;
      default:
        segment.assign(octets.size(), std::byte{0});
        patch(segment, 0, octets);
        break;
    }
  }
  return segments;
}

// Messages by id that a restart gives out; each is loaded.
std::map<uint64_t, std::string> found_by(Shard& shard) {
  std::map<uint64_t, std::string> found;
  std::vector<StoredHandle> handles;
  shard.spool->for_each_recovered([&](StoredHandle handle, const Recovered& message) {
    std::vector<smtp::RecipientView> recipients;
    const auto head = decode_head(message.head, recipients);
    RINGMTA_ASSERT(head.has_value());
    for (const RecipientState& state : message.states) {
      RINGMTA_ASSERT(state.index < recipients.size());
    }
    RINGMTA_ASSERT(found.emplace(message.id.value, as_text(Bytes(message.head))).second);
    handles.push_back(handle);
  });
  for (const StoredHandle handle : handles) {
    shard.done.clear();
    shard.spool->load(handle, 7);
    RINGMTA_ASSERT(shard.drive([&] { return !shard.done.empty(); }));
    if (shard.done[0].what == Done::What::loaded) shard.spool->unpin(handle);
  }
  return found;
}

void check(const Segments& segments) {
  sim::WorldOptions world_options;
  world_options.disk.latency_us_max = 20;
  sim::World world(world_options);
  RINGMTA_ASSERT(ring::disk::make_directory(kDirectory).has_value());
  for (const auto& [name, octets] : segments) {
    RINGMTA_ASSERT(ring::disk::write(std::string(kDirectory) + "/" + name, octets).has_value());
  }
  std::map<uint64_t, std::string> found;
  {
    Shard shard(world);
    found = found_by(shard);
    const StoredHandle fresh = shard.store("new");
    RINGMTA_ASSERT(fresh.index != UINT32_MAX);
    shard.done.clear();
    RINGMTA_ASSERT(shard.drive([&] { return !shard.done.empty(); }));
    RINGMTA_ASSERT(shard.done[0].what == Done::What::committed);
    const uint64_t id = shard.spool->id(fresh).value;
    RINGMTA_ASSERT(found.emplace(id, as_text(shard.spool->head(fresh))).second);
    RINGMTA_ASSERT(shard.drive([&] { return shard.spool->idle(); }));
  }
  Shard shard(world);
  RINGMTA_ASSERT(shard.recovery->report().quarantined_segments == 0);
  RINGMTA_ASSERT(found_by(shard) == found);
}

}  // namespace
}  // namespace ringmta::spool

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ringmta::fuzz::Input input(data, size);
  if (size > 4096) return 0;
  ringmta::spool::check(ringmta::spool::edited(input));
  return 0;
}
