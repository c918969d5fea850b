// SPDX-License-Identifier: GPL-3.0-or-later
// The one seam between the relay and the world: streams, datagrams, files, clocks, randomness,
// doorbells.
//
// The insight: nothing above this line knows a descriptor, a submission entry or a system call. A
// shard asks for things (send this, read that), then calls turn() once per loop; what happened
// comes back as an array of plain Events, which the loop hands to their owners. There are no
// callbacks out of here, hence no recursion, and the same relay runs on two implementations chosen
// at link time: the kernel's io_uring (src/ring/) and a deterministic simulator (src/sim/).
//
// Rules that hold for both:
//  * One Io per shard; every call is made by that shard's thread (ring_doorbell() excepted).
//  * Memory named in send(), write_file(), read_file() belongs to the Io until the matching event;
//  then to the caller.
//  * Event::data is valid until the next turn().
//  * A stream yields `closed` exactly once, and nothing after it; StreamIds carry a generation, a
//  stale id is ignored.
//  * Per stream at most one send() is in flight. It is complete (all octets) or failed; short sends
//  are dealt with here.
//  * Events of one stream come in the order things happened; receiving and sending are independent
//  of each other.
//  * An owner that paused may still be handed `received` events of the turn in progress: it gives
//  each back the same way,
//    by pause(stream, data), and the order is kept.
#pragma once

#include <sys/uio.h>

#include <compare>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "ringmta/base/address.h"
#include "ringmta/base/bytes.h"
#include "ringmta/base/result.h"
#include "ringmta/base/time.h"
#include "ringmta/base/types.h"

namespace ringmta::ring {

// Says whom an event is for; chosen by the owner, returned untouched. kind selects the handler in
// the shard's loop, slot + generation the object within it.
struct Token {
  uint64_t value = 0;
  static constexpr Token make(uint8_t kind, SlotHandle slot) {
    return {static_cast<uint64_t>(kind) << 56 |
            static_cast<uint64_t>(slot.generation & kGenerationMask) << 32 | slot.index};
  }
  static constexpr Token make(uint8_t kind, uint32_t number = 0) {
    return {static_cast<uint64_t>(kind) << 56 | number};
  }
  constexpr uint8_t kind() const { return static_cast<uint8_t>(value >> 56); }
  constexpr uint32_t index() const { return static_cast<uint32_t>(value); }
  constexpr SlotHandle slot() const {
    return {static_cast<uint32_t>(value), static_cast<uint32_t>(value >> 32) & kGenerationMask};
  }
  constexpr bool operator==(const Token&) const = default;
};

struct StreamId {
  uint32_t index = UINT32_MAX;
  uint32_t generation = 0;
  constexpr auto operator<=>(const StreamId&) const = default;
  constexpr explicit operator bool() const { return index != UINT32_MAX; }
};
struct DatagramId {
  uint32_t index = UINT32_MAX;
  uint32_t generation = 0;
  constexpr bool operator==(const DatagramId&) const = default;
  constexpr explicit operator bool() const { return index != UINT32_MAX; }
};
struct ListenerId {
  uint32_t index = UINT32_MAX;
};
struct FileId {
  uint32_t index = UINT32_MAX;
  constexpr explicit operator bool() const { return index != UINT32_MAX; }
};

enum class EventKind : uint8_t {
  accepted,   // a listener's token; `stream` is new, not yet reading; result < 0: accept failed
              // (-errno)
  connected,  // result 0, or -errno (then only `closed` follows, after close())
  received,   // `data`, never empty
  ended,   // no more will be received: result 0 = the peer finished sending, else -errno; once per
           // stream
  sent,    // the send() left: result 0 or -errno
  closed,  // the stream is gone
  datagram,  // `data` (may be empty) is one datagram, result its octets as sent: more than there
             // are in `data` where it was cut to a receive buffer; result -errno: one failed (ICMP,
             // no route), the socket stays usable
  file_done,  // a file operation ended: result = octets (or 0), or -errno
  timer,      // made by the shard's timer wheel, not by Io
  mail,       // another shard rang this shard's doorbell
};

struct Event {
  Token token;
  Bytes data{};
  StreamId stream{};
  int32_t result = 0;
  EventKind kind = EventKind::mail;
};

struct IoOptions {
  ShardId shard{};
  uint32_t entries = 4096;  // submission queue size; the completion queue has four times as many
  uint32_t receive_buffers = 1024;       // provided buffers, a power of two
  uint32_t receive_buffer_size = 16384;  // octets each
  uint32_t streams_max = 65536;          // open streams per shard, listeners not counted
  uint32_t datagrams_max = 4096;         // open datagram sockets per shard
  uint64_t random_seed = 0;              // 0: from the system
  Token doorbell{};                      // token of `mail` events
  Milliseconds linger_max = seconds(2);  // how long close(graceful) waits for the peer's end
};

struct ListenOptions {
  int backlog = 4096;
  bool reuse_port = true;
};

struct ConnectOptions {
  const SocketAddress* source = nullptr;  // bind to this address first; null: the system chooses
};

// At least one of the two.
struct DatagramOptions {
  const SocketAddress* local = nullptr;  // bind to it; port 0 or null: a port the system takes at
                                         // random, which nobody can foretell (RFC 6056)
  const SocketAddress* peer = nullptr;   // sends go there, and only its datagrams are received
};

enum class CloseMode : uint8_t {
  graceful,  // what was sent is delivered: finish the send in flight, shut down, drain the peer for
             // a bounded time
  abort,     // at once; a send in flight is cancelled
};

enum class Durability : uint8_t {
  none,     // the file system's cache
  durable,  // on stable storage before file_done (RWF_DSYNC)
};

enum class OpenMode : uint8_t {
  read,         // existing, read only
  write,        // created if absent, read and write
  append,       // created if absent, written at the end (O_APPEND)
  write_direct  // like write, past the page cache (O_DIRECT): memory, offset and length in units of
                // 4096
};

// Counters since start, for status and metrics. Plain integers written by the shard only.
struct IoCounters {
  uint64_t turns = 0;
  uint64_t submissions = 0;
  uint64_t completions = 0;
  uint64_t receives = 0;
  uint64_t received_octets = 0;
  uint64_t sends = 0;
  uint64_t sent_octets = 0;
  uint64_t short_sends = 0;
  uint64_t receive_buffers_exhausted =
      0;  // ENOBUFS: the stream was re-armed when buffers came back
  uint64_t completion_overflows = 0;
  uint64_t file_operations = 0;
  uint64_t datagrams_received = 0;
  uint64_t datagrams_sent = 0;
  uint64_t datagrams_failed = 0;
};

class Io final {
 public:
  // Fails with what refused io_uring (missing, kernel.io_uring_disabled, seccomp) and what to do
  // about it.
  static Result<std::unique_ptr<Io>> create(const IoOptions& options);
  ~Io();
  Io(const Io&) = delete;
  Io& operator=(const Io&) = delete;

  // Submits everything asked for, waits until something happened or `until` is reached, and returns
  // what happened. The span is valid until the next call. May return early and empty.
  std::span<const Event> turn(Monotonic until);

  Monotonic now() const { return now_; }   // as of the start of the current turn
  WallTime wall() const { return wall_; }  // likewise
  uint64_t random();  // for jitter and choice: fast, and foretold by who has seen enough of it
  uint64_t secure_random();  // for what an attacker must not guess: getrandom(2)

  // Listening. `accepted` events carry the listener's token.
  Result<ListenerId> listen(const SocketAddress& address, const ListenOptions& options,
                            Token token);
  SocketAddress listening_on(ListenerId listener) const;  // with the real port when 0 was asked for
  void stop_listening(ListenerId listener);
  void pause_listening(ListenerId listener);  // new connections wait in the backlog
  void resume_listening(ListenerId listener);

  // Streams. Every stream, accepted or connected, must be given back by close(), whatever happened
  // to it.
  void own(StreamId stream, Token token);  // whom the events are for from now on
  Result<StreamId> connect(const SocketAddress& peer, const ConnectOptions& options, Token token);
  void read(StreamId stream);  // start, or go on, yielding `received`
  // Have octets arrived on a stream that read() was not called for yet? Asks at once (a system
  // call). Once receives are under way there is no telling: the octets may lie between the two.
  bool has_unread(StreamId stream) const;
  // Stop yielding `received`. What arrived meanwhile, and `unread` (the tail of the current event's
  // data the owner could not take), is kept and comes first after read().
  void pause(StreamId stream, Bytes unread = {});
  // At most kSendPartsMax parts; the array itself is copied, the octets are not.
  static constexpr size_t kSendPartsMax = 8;
  void send(StreamId stream, std::span<const iovec> parts);
  void close(StreamId stream, CloseMode mode);
  SocketAddress peer(StreamId stream) const;
  SocketAddress local(StreamId stream) const;
  uint32_t streams_open() const;

  // Datagrams. A socket receives from when it is opened until it is closed; its events carry its
  // token and nothing else of it. Nothing is promised: datagrams are lost, doubled and reordered.
  Result<DatagramId> open_datagram(const DatagramOptions& options, Token token);
  // The octets are copied (they are few), so nothing is owed to the caller afterwards: no event
  // tells of success, which would prove nothing. `to` is null on a socket that has a peer.
  static constexpr size_t kDatagramOctetsMax = 65'507;
  void send_datagram(DatagramId socket, Bytes data, const SocketAddress* to = nullptr);
  // At once: nothing of it is told from the next turn on.
  void close_datagram(DatagramId socket);
  SocketAddress local(DatagramId socket) const;
  SocketAddress sender(const Event& event) const;  // of a `datagram` with result >= 0
  uint32_t datagrams_open() const;

  // Files. open_file, file_size, truncate and the other calls without a token may block and are for
  // start-up, shutdown and rare moments; the others end with file_done. Several operations on one
  // file may be in flight, unordered.
  Result<FileId> open_file(const std::string& path, OpenMode mode);
  void close_file(FileId file);  // nothing may be in flight
  Result<uint64_t> file_size(FileId file) const;
  void write_file(FileId file, std::span<const iovec> parts, uint64_t offset, Durability durability,
                  Token token);
  void read_file(FileId file, MutableBytes into, uint64_t offset, Token token);
  void allocate_file(FileId file, uint64_t size, Token token);  // reserve blocks: fallocate
  void sync_file(FileId file, Token token);                     // fdatasync
  static constexpr size_t kWritePartsMax = 1024;

  // Any thread may ring any shard's Io: its turn() ends soon and yields `mail`.
  void ring_doorbell();

  const IoCounters& counters() const { return counters_; }
  std::string features() const;  // for status: which optional features are in use

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  explicit Io(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
  Monotonic now_{};
  WallTime wall_{};
  IoCounters counters_{};
  friend struct Impl;
};

}  // namespace ringmta::ring
