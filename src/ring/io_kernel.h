// SPDX-License-Identifier: GPL-3.0-or-later
// The kernel's side of the seam: what one shard's io_uring consists of.
//
// The insight: every completion is named by kind, generation and slot in its user_data, and a
// stream's slot is given up only when the last completion it is owed has come. So a late
// completion always finds its stream, and `closed` is told exactly once, without a lock or a
// reference count.
//
// A stream is closed in steps: a graceful one waits for the send in flight, shuts down its sending
// side and drains the peer for a bounded time; an abort cancels what is in flight; then the
// descriptor is closed and, with the last completion in, the slot freed. (close(2) alone cancels
// nothing in io_uring: an armed receive would keep the socket alive.)
#pragma once

#include <liburing.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "ringmta/base/intrusive_list.h"
#include "ringmta/base/prng.h"
#include "ringmta/base/slot_pool.h"
#include "ringmta/ring/io.h"

namespace ringmta::ring {

// What a completion belongs to: the top 4 bits of its user_data.
enum class Operation : uint8_t {
  none,  // nobody waits for it
  accept,
  receive,
  send,
  connect,
  cancel,
  file,
  doorbell,
  datagram_receive,
  datagram_send,
  datagram_cancel
};

constexpr uint64_t user_data(Operation operation, uint32_t index, uint32_t generation = 0) {
  return static_cast<uint64_t>(operation) << 60 |
         static_cast<uint64_t>(generation & kGenerationMask) << 32 | index;
}
constexpr uint64_t user_data(Operation operation, SlotHandle slot) {
  return user_data(operation, slot.index, slot.generation);
}
constexpr Operation operation_of(uint64_t data) { return static_cast<Operation>(data >> 60); }
constexpr SlotHandle slot_of(uint64_t data) {
  return {static_cast<uint32_t>(data), static_cast<uint32_t>(data >> 32) & kGenerationMask};
}

struct Stream {
  Stream(int descriptor, Token owner) : fd(descriptor), token(owner) {}

  ListLink link;  // on starved, resumed or lingering, never on two
  int fd;
  Token token;
  SlotHandle slot{};
  int32_t end_result = 0;
  uint8_t in_flight = 0;       // completions owed: receive, send, connect, cancels
  bool wants_receive = false;  // the owner called read()
  bool receiving = false;      // a multishot receive is armed
  bool cancelling_receive = false;
  bool sending = false;
  bool connecting = false;
  bool ended = false;       // the kernel said so
  bool ended_told = false;  // and the owner knows
  bool closing = false;
  bool shut_down = false;
  bool aborting = false;
  Monotonic linger_until{};
  uint64_t drained = 0;         // octets received while closing
  std::vector<std::byte> held;  // received while paused, in order
  uint32_t send_parts = 0;
  uint32_t send_first = 0;  // parts before this one have left
  msghdr message{};
  iovec parts[Io::kSendPartsMax];
  SocketAddress peer{};
};

struct Datagram {
  explicit Datagram(Token owner) : token(owner) {}

  ListLink link;  // on starved_datagrams
  int fd = -1;
  Token token;
  SlotHandle slot{};
  uint32_t in_flight = 0;  // completions owed: receive, sends, cancel
  bool receiving = false;  // a multishot receive is armed
  bool closing = false;
};

// A datagram on its way to the kernel, in memory that stays where it is.
struct DatagramSend {
  SlotHandle socket{};
  SocketAddress to{};
  std::vector<std::byte> data;
  iovec part{};
  msghdr message{};
};

struct Listener {
  int fd = -1;
  Token token{};
  bool wanted = false;  // neither stopped nor paused
  bool armed = false;
  bool cancelling = false;
  bool is_unix = false;
  Monotonic retry_at = Monotonic::never();  // after an error that would repeat at once (EMFILE)
  std::deque<int> parked;  // accepted when nobody wanted them or no slot was free, in order
};

struct OpenFile {
  int fd = -1;
  uint32_t in_flight = 0;
};

struct FileOperation {
  Token token{};
  uint32_t file = 0;
  std::vector<iovec> parts;
};

// The provided buffers of one shard, one group. Those the current events refer to are given back
// at the next turn. Only as many circulate as are needed: the kernel takes them in turn, and a
// small ring stays in the cache (16 KiB each, 64 to begin with); running out adds more.
class ReceiveBuffers final {
 public:
  static constexpr uint16_t kGroup = 0;

  Status create(io_uring& ring, uint32_t count, uint32_t size);
  void destroy();
  std::byte* at(uint32_t id) const { return memory_ + static_cast<size_t>(id) * size_; }
  void give_back(uint32_t id) { pending_.push_back(static_cast<uint16_t>(id)); }
  bool publish();  // true: at least one buffer was given to the kernel
  void grow();     // they ran out: more of them circulate from now on
  uint32_t circulating() const { return circulating_; }

 private:
  void add(uint16_t id);

  io_uring_buf_ring* shared_ = nullptr;
  size_t shared_bytes_ = 0;
  std::byte* memory_ = nullptr;
  size_t memory_bytes_ = 0;
  uint32_t count_ = 0;
  uint32_t size_ = 0;
  uint32_t circulating_ = 0;
  uint16_t tail_ = 0;
  std::vector<uint16_t> pending_;
};

struct Io::Impl {
  explicit Impl(const IoOptions& chosen);
  ~Impl();

  Status set_up();    // ring, buffers, doorbell
  Status restrict();  // to the operations that this room submits
  void enable();      // binds the ring to the calling thread, at its first submission
  io_uring_sqe* entry();

  // Turn.
  void submit_and_wait(Monotonic until, bool sleep);
  void reap();
  void on_completion(const io_uring_cqe& completion);
  void deliver_held();
  void rearm();
  Monotonic earliest_need() const;
  void expire_lingering();

  // Listeners.
  void arm_accept(uint32_t index);
  void cancel_accept(uint32_t index);
  void on_accept(uint32_t index, const io_uring_cqe& completion);
  void deliver_parked();
  void retry_listeners();

  // Streams.
  Stream* stream(StreamId id) { return streams.find({id.index, id.generation}); }
  Stream* new_stream(int fd, Token token);
  void arm_receive(Stream& stream);
  void cancel_receive(Stream& stream);
  void on_receive(Stream& stream, const io_uring_cqe& completion);
  void tell_end(Stream& stream);
  void submit_send(Stream& stream);
  void on_send(Stream& stream, int32_t result);
  void on_connect(Stream& stream, int32_t result);
  void begin_closing();
  void advance_close(Stream& stream);
  void abort_stream(Stream& stream);
  void free_stream(Stream& stream);

  // Datagrams.
  Datagram* datagram(DatagramId id) { return datagrams.find({id.index, id.generation}); }
  void arm_datagrams(Datagram& socket);
  void on_datagram_receive(Datagram& socket, const io_uring_cqe& completion);
  void on_datagram_send(uint32_t index, int32_t result);
  void on_datagram_completion(Operation operation, SlotHandle slot, const io_uring_cqe& completion);
  void free_datagram_if_done(Datagram& socket);

  // Files.
  FileOperation& new_file_operation(FileId file, Token token, SlotHandle& slot);
  void on_file(SlotHandle slot, int32_t result);

  void arm_doorbell();
  void push(EventKind kind, const Stream& of, int32_t result, Bytes data = {});

  Io* owner = nullptr;
  IoOptions options;
  io_uring ring{};
  bool ring_ready = false;
  bool enabled = false;
  ReceiveBuffers buffers;
  int doorbell_fd = -1;
  uint64_t doorbell_value = 0;
  Prng random;
  std::array<uint64_t, 32> entropy{};  // of getrandom(2), so that not each number is a system call
  size_t entropy_left = 0;
  std::vector<Event> events;
  std::vector<Listener> listeners;
  SlotPool<Stream, 64> streams;
  SlotPool<Datagram, 64> datagrams;
  std::vector<std::unique_ptr<DatagramSend>> datagram_sends;  // their memory is used again
  std::vector<uint32_t> datagram_sends_free;
  SlotPool<FileOperation, 64> file_operations;
  std::vector<OpenFile> files;
  std::vector<std::vector<std::byte>> spent;  // held octets the current events refer to
  std::vector<SlotHandle> just_closed;
  IntrusiveList<Stream, &Stream::link> starved;                // wait for a receive buffer
  IntrusiveList<Datagram, &Datagram::link> starved_datagrams;  // likewise
  IntrusiveList<Stream, &Stream::link> resumed;                // read() again, something was held
  IntrusiveList<Stream, &Stream::link> lingering;  // closing, the peer has not ended; by deadline
};

// Says in words why the kernel refused to make a ring (`code`: positive errno).
Error explain_refusal(int code);

}  // namespace ringmta::ring
