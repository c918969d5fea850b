// SPDX-License-Identifier: GPL-3.0-or-later
// Stable storage of one shard: an append-only log of recycled, pre-written segments with group
// commit.
//
// The insight: one write is in flight at a time and everything that arrives meanwhile gathers into
// the next, so the disk sets the rhythm and a sync is shared by as many messages as came in its
// duration. The memory a message was gathered in is the memory that is written and later sent; it
// is copied once, out of the receive buffer.
//
// Life of a message: store() copies it into the open batch (or takes over its chunks) -> the write
// completes -> take_done() says committed -> the queue delivers from parts() -> record_states()
// while some recipients are deferred -> finish() when all are final. Memory is dropped by evict()
// (or by the budget, oldest first, never while pinned) and comes back by load().
//
// Which segments may be recycled: those without living messages whose own notes (states and
// tombstones about messages in other segments) are no longer needed, because those segments were
// recycled too or were summed up by a checkpoint record at the head of the log. A mostly dead
// segment is compacted: its living records move to the head.
//
// Failure: disk full -> accepting() is false (clients get 452 4.3.1), a reserve keeps outcome notes
// going, and it recovers by itself. A failed or short write is never retried and believed: the
// batch's messages are reported failed, a note says that they never were, the segment is set aside,
// its living records move to a new one, and the states in the batch are written again there.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ringmta/ring/io.h"
#include "ringmta/spool/record.h"

namespace ringmta::spool {

enum class DurabilityMode : uint8_t { sync, relaxed };
enum class WriteMode : uint8_t {
  automatic,
  direct,
  buffered
};  // automatic: direct, where refused buffered

struct SpoolOptions {
  std::string directory;  // the whole spool's; segments of all shards lie in it
  DurabilityMode durability = DurabilityMode::sync;
  WriteMode write_mode = WriteMode::automatic;
  // Octets, a multiple of 4096 from 64 KiB to 1 GiB; a message must fit in one.
  uint64_t segment_size = 67'108'864;
  // Pre-written spare segments kept at hand per shard; one more is kept for notes on a full disk.
  uint32_t segments_ready = 2;
  uint64_t disk_max = 0;  // octets all segments of this shard may take; 0: what the disk has
  uint64_t disk_reserve = 268'435'456;  // octets left free on the file system
  uint64_t memory_max = 536'870'912;    // octets of message memory per shard (contents in memory)
  uint64_t batch_max = 1'048'576;       // octets in one write, big messages' chunks not counted
  Milliseconds note_delay_max{10};      // states and tombstones wait at most so long for a batch
  uint32_t compact_below_percent = 25;  // living share under which a sealed segment is compacted
  ShardId shard{};
};

// One message in the spool of this shard. Valid from store() until finish(), or until reported
// failed.
using StoredHandle = SlotHandle;

// Content being gathered (a message too big for one receive). Chunks are block-aligned memory of
// the spool's budget.
class Gathering;

struct Done {
  enum class What : uint8_t {
    committed,  // on stable storage
    failed,     // it is not, and never was: tell the client 452 4.3.1; the handle is gone
    loaded,     // parts() are there; pinned once for whoever asked
    unreadable  // the content cannot be read back (I/O error, checksum): reported, message kept for
                // the operator
  };
  What what = What::committed;
  StoredHandle message{};
  uint64_t tag = 0;  // as given to store() or load()
};

struct SpoolCounters {
  uint64_t messages = 0;  // living
  uint64_t stored = 0, finished = 0;
  uint64_t batches = 0, batch_octets = 0,
           batch_messages = 0;  // writes that were synced, what they carried
  uint64_t notes = 0;
  uint64_t write_errors = 0;
  uint64_t loads = 0, evictions = 0;
  uint64_t compacted_messages = 0, recycled_segments = 0, checkpoints = 0;
  uint64_t segments = 0, segments_free = 0;
  uint64_t disk_octets = 0;
  uint64_t memory_octets = 0;  // message memory in use
  bool accepting = true;
  bool direct = true;  // O_DIRECT in use
};

// A living message found by recovery; valid during the visit only.
struct Recovered {
  MessageId id{};
  std::vector<std::byte> head;         // encoded MessageHead; decode_head() gives views into it
  std::vector<RecipientState> states;  // those known; others are pending with no attempts
  uint32_t segment_number = 0;         // where the newest copy lies
  uint32_t offset = 0;
  uint32_t length = 0;
};

class Spool;

// What recovery found, for all shards; made once at start by recover(), given out by
// Spool::create() (which shards may call at the same time). It holds 24 octets per message: heads
// are read again, segment by segment, when they are visited.
class Recovery {
 public:
  struct Report {
    uint64_t segments = 0, messages = 0, recipients_pending = 0, torn_tails = 0,
             quarantined_records = 0, quarantined_segments = 0;
    std::vector<std::string> findings;  // sentences for the operator
  };
  virtual ~Recovery() = default;
  virtual const Report& report() const = 0;
};
// Scans DIR (threads in parallel; one: the caller's), truncates torn tails, copies what is damaged
// to DIR/quarantine. What a killed process may have left in the page cache only is written again,
// durably. `shards`: how many will run now; the number at the time of writing does not matter.
Result<std::unique_ptr<Recovery>> recover(const std::string& directory, uint32_t shards,
                                          uint32_t threads);

class Spool final {
 public:
  // Takes this shard's part of `recovery` (null: an empty spool). Segments are made ready in the
  // background: mail is taken at once. A full disk is no error (accepting() is false then), a
  // directory that cannot be written to is one.
  static Result<std::unique_ptr<Spool>> create(ring::Io& io, const SpoolOptions& options,
                                               Recovery* recovery, ring::Token token);
  ~Spool();

  // Calls `visit` for each message recovered for this shard, once, before the first turn; reads
  // their heads (blocking).
  void for_each_recovered(const std::function<void(StoredHandle, const Recovered&)>& visit);

  bool accepting() const;  // false: disk full or failing; refuse new messages with 452 4.3.1
  bool memory_pressed()
      const;  // message memory is at its budget: begin no new message (452 4.3.1), evict
  bool memory_exhausted() const;  // a hard limit (budget + 25 %): refuse content in arrival too

  // Head, trace lines and content of one message together: more does not fit in a segment.
  uint64_t message_octets_max() const;

  // Next id of this shard (unique in the spool, increasing).
  MessageId next_id();

  // Copies head, trace lines and content into the open batch. `content` is the whole wire form (or
  // empty when `gathered` holds it). Null handle index UINT32_MAX: not accepting, or bigger than a
  // segment. The result comes as Done with `tag`.
  StoredHandle store(MessageId id, const MessageHead& head, std::string_view trace_lines,
                     std::span<const std::string_view> content, uint64_t tag);
  StoredHandle store_gathered(MessageId id, const MessageHead& head, std::string_view trace_lines,
                              Gathering* gathered, uint64_t tag);  // takes `gathered` over

  // Lent until it is stored or dropped; the spool's own, so what is out when a spool ends ends with
  // it. Null when memory is exhausted.
  Gathering* gather();
  bool gather_append(Gathering& gathering, std::string_view content);  // false: memory exhausted
  uint64_t gathered_octets(const Gathering& gathering) const;
  void gather_drop(Gathering* gathering);

  // Notes about recipients of a message; written with the next batch, nobody waits for them.
  void record_states(StoredHandle message, std::span<const RecipientState> states);
  // Every recipient is final: a tombstone is noted and the handle ends.
  void finish(StoredHandle message);

  // Memory of a message. pin()/unpin() nest; pinned memory stays. in_memory() tells if parts() has
  // anything.
  bool in_memory(StoredHandle message) const;
  void pin(StoredHandle message);
  void unpin(StoredHandle message);
  void evict(StoredHandle message);               // no effect while pinned or uncommitted
  void load(StoredHandle message, uint64_t tag);  // Done::loaded (pinned) or Done::unreadable
  // The encoded head; empty when not in memory.
  Bytes head(StoredHandle message) const;
  // Trace lines and content as they go out, in order; `with_dot` false leaves out the closing
  // ".CRLF".
  void parts(StoredHandle message, bool with_dot, std::vector<iovec>& into) const;
  uint64_t wire_size(StoredHandle message)
      const;  // octets of parts() with the closing ".CRLF"; known without memory
  MessageId id(StoredHandle message) const;

  // Wiring: events with the spool's token come here; flush() is the loop's commit stage (starts the
  // next write when none is in flight; true: it has more to do at once); take_done() hands out what
  // ended since the last call.
  void on_event(const ring::Event& event);
  bool flush();
  void take_done(std::vector<Done>& into);

  // Monotonic time at which flush() wants to be called even without events (notes waiting); never()
  // if none.
  Monotonic wants_flush_at() const;
  bool idle() const;  // nothing waits to be written and no write is in flight

  const SpoolCounters& counters() const;

 private:
  struct Impl;
  explicit Spool(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Views into an encoded head; `recipients` is filled and referred to by the result's envelope.
std::optional<MessageHead> decode_head(Bytes head, std::vector<smtp::RecipientView>& recipients);

}  // namespace ringmta::spool
