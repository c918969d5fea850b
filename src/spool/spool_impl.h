// SPDX-License-Identifier: GPL-3.0-or-later
// The insides of a shard's spool: store.cc (messages into batches), commit.cc (batches onto disk),
// notes.cc (what is written about messages), room.cc (segments to write to), reclaim.cc (segments
// to write to again), memory.cc (what is in memory), load.cc (what comes back into it).
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "batch.h"
#include "blocks.h"
#include "message_table.h"
#include "recovered.h"
#include "ringmta/spool/spool.h"
#include "segment.h"

namespace ringmta::spool {

class Gathering final {
 public:
  uint32_t first = kNone, last = kNone;  // chunks
  uint32_t chunks = 0;
  uint32_t crc = 0;
  uint64_t octets = 0;
};

struct Spool::Impl {
  Impl(ring::Io& the_io, const SpoolOptions& chosen, ring::Token token);
  ~Impl();

  // The low octet of a token's number says which operation ended, the rest what it was about.
  enum class Operation : uint8_t { batch, make, open, end, load };
  ring::Token token_for(Operation operation, uint32_t what) const {
    return ring::Token::make(kind, what << 8 | static_cast<uint32_t>(operation));
  }
  void on_event(const ring::Event& event);
  ring::Durability durability() const {
    return options.durability == DurabilityMode::sync ? ring::Durability::durable
                                                      : ring::Durability::none;
  }

  // recover.cc
  void take_over(RecoveryResult& from);
  void take_over_segment(Segment& of, const RecoveredSegment& from);
  void go_on_writing(const RecoveryResult& from, const std::vector<uint16_t>& index_of);

  // store.cc
  Batch* batch_for(uint64_t octets, uint64_t chunk_octets, uint32_t chunks);
  std::unique_ptr<Batch> new_batch(Cursor& from);
  Batch* put_nevers_first();
  StoredHandle store(MessageId id, const MessageHead& head, std::string_view trace_lines,
                     std::span<const std::string_view> content, uint64_t tag);
  StoredHandle store_gathered(MessageId id, const MessageHead& head, std::string_view trace_lines,
                              Gathering* gathered, uint64_t tag);
  StoredHandle keep(Batch& batch, MessageId id, std::byte* record, uint64_t payload, uint64_t wire,
                    uint64_t tag);
  bool gather_append(Gathering& gathering, std::string_view content);
  void replace_first_block(Gathering& gathering);
  void gather_drop(Gathering* gathering);

  // commit.cc
  bool flush();
  bool nothing_queued() const;
  Batch* front_batch();
  bool place(Batch& batch);  // chooses the segment; false: it has to wait
  void start_write(Batch& batch);
  void written(int32_t result);
  void write_succeeded(Batch& batch);
  void add_source(Segment& into, Segment& from);
  void write_failed(Batch& batch, int32_t result);
  void give_back_notes(Batch& batch);
  void fail_messages(Batch& batch);
  void fail_unplaceable();
  void retire(std::unique_ptr<Batch> batch);

  // notes.cc
  void add_notes(Batch& batch);
  void add_nevers(Batch& batch);
  void add_tombstones(Batch& batch);
  void add_states(Batch& batch);
  void add_checkpoints(Batch& batch);
  void add_octets(Batch& batch, RecordType type, const Octets& octets);
  bool takes(const Batch& batch, uint64_t octets) const;
  void encode_states(const Message& message, Octets& into);
  void encode_checkpoint(const Segment& of);
  void note_ties(const Batch& batch, Segment& segment);
  bool notes_pending() const;
  void note_waits();

  // room.cc
  void tend_segments();
  bool making_wanted() const;
  void begin_making();
  void made(int32_t result);
  void made_size();
  void made_piece(int32_t result);
  void made_header(int32_t result);
  void prepare_piece();
  void making_failed(const std::string& what, int code);
  bool in_a_hurry() const;
  void open_next();
  void opened(uint16_t index, int32_t result);
  void room_found();
  uint64_t highest_id() const;  // given out so far, or found by recovery
  uint32_t ready() const;
  uint32_t wanted_ready() const { return options.segments_ready + 1; }
  uint64_t room_for_messages() const;  // without the last segment, which is kept for notes
  uint64_t room_for_notes() const;
  Status open_file(Segment& segment);
  bool fell_back(Segment& segment, int32_t result);
  uint64_t new_epoch() { return ++sequence << kEpochRandomBits | (io.random() & kEpochRandomMask); }
  void close_file(Segment& segment);
  void write_header(Segment& segment, SegmentUse use, Operation operation);
  bool header_written(Segment& segment, int32_t result);
  void give_back_surplus();
  bool give_back(Segment& segment);
  Status write_retired(Segment& segment);
  void quarantine(Segment& segment);
  void become_absent(Segment& segment);

  // reclaim.cc
  void ended_message(uint32_t slot);
  void look_if_dead(Segment& segment);
  void try_later(Segment& segment);
  void reclaim();
  bool may_end(const Segment& segment) const;
  bool sources_covered(const Segment& segment) const;
  void end_segment(Segment& segment);
  void end_written(uint16_t index, int32_t result);
  void forget(Segment& segment);  // its life ended
  void seal_segment(Segment& segment);
  void want_checkpoint(Segment& segment);
  void want_checkpoints();
  void want_sources_covered(const Segment& of);
  void choose_job();
  void move_some();
  void move_one(uint32_t slot, bool evict);
  void finish_job();

  struct Load {
    StoredHandle message;
    uint32_t block = kNone;
    uint64_t offset = 0;  // in the segment, of the block's memory
    uint64_t octets = 0;
    uint16_t segment = 0;
    bool for_move = false;
    std::vector<uint64_t> tags;
  };

  // memory.cc
  void release_memory(Message& message);
  void evict(uint32_t slot);
  void keep_budget();

  // load.cc
  void load(StoredHandle handle, uint64_t tag, bool for_move);
  void loaded(uint32_t which, int32_t result);
  void unreadable(const Load& load, int32_t result);
  bool install(uint32_t slot, const Load& from, uint64_t octets);
  void install_neighbours(const Load& from, uint64_t octets);

  Segment& segment(uint16_t index) { return *segments[index]; }
  const Segment& segment(uint16_t index) const { return *segments[index]; }
  bool lives(const Segment& in, const Entry& entry) const {
    const Message& message = messages[entry.slot];
    return message.is(Message::kUsed) && message.is(Message::kCommitted) &&
           message.segment == in.index && message.offset == entry.offset;
  }
  std::string path_of(const Segment& segment) const;
  const std::byte* record_of(const Message& message) const {
    return blocks[message.block].memory + size_t{message.memory_at} * kRecordAlign;
  }
  void done(Done::What what, StoredHandle message, uint64_t tag) {
    done_list.push_back({what, message, tag});
  }

  ring::Io& io;
  SpoolOptions options;
  uint8_t kind;
  bool direct = true;
  Blocks blocks;
  MessageTable messages;
  SpoolCounters counters;
  std::vector<Done> done_list;

  // Batches: those that gather or wait, oldest first; the one being written; used ones.
  std::vector<std::unique_ptr<Batch>> queued;
  std::unique_ptr<Batch> writing;
  std::vector<std::unique_ptr<Batch>> idle_batches;
  // Those that are lent to sessions are here, too: a shard may end in the middle of a message.
  std::vector<std::unique_ptr<Gathering>> gatherings;
  std::vector<Gathering*> idle_gatherings;
  Cursor cursor;
  uint64_t sequence = 0;  // of batches, and of segments' lives
  uint32_t failures = 0;  // writes that failed one after the other
  Monotonic write_again_at{};
  struct {
    uint32_t number = 0;
    uint64_t epoch = 0;
    uint64_t end = 0;
  } last_written;

  // Notes not yet in a batch.
  std::vector<Batch::Tombstone> tombstones;
  std::vector<Batch::Never> nevers;
  std::vector<StoredHandle> stated;
  std::vector<uint16_t> checkpoints;
  uint32_t ended_later = 0;  // finished messages that are still being moved or read
  Monotonic notes_due = Monotonic::never();
  Monotonic checkpoint_again_at{};
  Octets encoded, moved_states;
  std::vector<RecipientState> states;

  // Segments.
  std::vector<std::unique_ptr<Segment>> segments;
  std::deque<uint16_t> spares;
  std::vector<uint16_t> absent;
  std::vector<uint16_t> dead;  // sealed, nothing living, kept for their notes
  bool reclaim_due = false;
  Monotonic reclaim_at{}, wake_to_reclaim_at{};  // not before; at the latest
  uint64_t completions = 0, completions_looked_at = 0;
  size_t dead_max = 0;  // as many of them are no harm
  uint16_t log_head = kNoSegment, next = kNoSegment, opening = kNoSegment;
  uint32_t numbers_made = 0;
  std::shared_ptr<SharedLives> shared;
  struct Making {
    enum class Step : uint8_t { none, allocate, size, pieces, sync, header } step = Step::none;
    uint16_t segment = kNoSegment;
    uint64_t piece_at = 0;
    uint64_t piece_octets = 0;  // in flight
    bool urgent = false;        // it is in use already
  } making;
  bool no_room = false;       // no segment can be made
  Monotonic no_room_told{};   // in the log
  bool room_is_news = false;  // ... and not that there is some again
  Error no_room_why{};
  Monotonic make_again_at{};
  Monotonic give_back_at{};
  uint32_t operations = 0;  // in flight

  // Moving.
  struct Job {
    uint16_t segment = kNoSegment;
    uint32_t next = 0;  // entry
    uint32_t loads = 0;
    uint64_t octets_moving = 0;
    bool unreadable = false;
    bool skipped = false;
  } job;
  Monotonic choose_job_at{};
  uint32_t ends_in_flight = 0;

  // Loads.
  std::vector<Load> loads;
  std::vector<uint32_t> free_loads;
  uint32_t loads_in_flight = 0;

  // Ids.
  uint64_t last_id_ms = 0;
  uint32_t last_id_count = 0;

  std::vector<RecoveredSegment> recovered;  // until for_each_recovered()
};

}  // namespace ringmta::spool
