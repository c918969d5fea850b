// SPDX-License-Identifier: GPL-3.0-or-later
// The simulator's side of the seam: what one shard's Io consists of.
//
// The insight: a stream is a handful of facts still to be told (it is connected, octets have
// arrived, the send is done, it is gone). A turn tells them in the order the header of io.h
// promises, and by a coin of the World's in either order where it promises none.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "ringmta/base/intrusive_list.h"
#include "ringmta/base/slot_pool.h"
#include "ringmta/ring/io.h"
#include "world_impl.h"

namespace ringmta::ring {

struct Stream {
  explicit Stream(Token owner) : token(owner) {}

  ListLink link;  // on ready
  Token token;
  SlotHandle slot{};
  sim::ConnectionPointer connection;
  size_t side = 0;
  bool wants_receive = false;
  bool connecting = false;
  bool connect_done = false;  // to be told
  bool failed = false;        // it never was connected
  bool sending = false;
  bool send_done = false;  // to be told
  bool ended_told = false;
  bool closing = false;
  bool shut_down = false;
  bool aborting = false;  // its cancellations take their time
  bool gone = false;      // `closed` is to be told
  int32_t connect_result = 0;
  int32_t send_result = 0;
  uint32_t send_parts = 0;
  uint32_t send_first = 0;
  iovec parts[Io::kSendPartsMax];
  std::vector<std::byte> held;  // given back by pause(), in order

  sim::Side& mine() { return connection->sides[side]; }
  sim::Side& theirs() { return connection->sides[1 - side]; }
};

struct Datagram {
  explicit Datagram(Token owner) : token(owner) {}

  Token token;
  SocketAddress local{};
  SocketAddress peer{};  // length 0: none
  uint32_t waiting = 0;  // arrived or failed, not told yet
};

// Something of a socket still to be told: a datagram with its sender in front, or an error.
struct DatagramArrival {
  SlotHandle socket{};
  int32_t result = 0;
  std::vector<std::byte> data;  // empty with an error
};

struct Listener {
  Token token{};
  SocketAddress address{};
  size_t backlog_max = 0;
  bool reuse_port = false;
  bool open = false;
  bool wanted = false;  // not paused
  std::deque<sim::ConnectionPointer> backlog;
};

struct OpenFile {
  sim::FilePointer file;
  OpenMode mode = OpenMode::read;
  uint32_t in_flight = 0;
};

struct FileOperation {
  sim::DiskOperation kind = sim::DiskOperation::read;
  Token token{};
  uint32_t file = 0;
  std::vector<iovec> parts;  // to write
  MutableBytes into{};       // to read
  uint64_t offset = 0;       // or the size to allocate
  Durability durability = Durability::none;
  std::optional<sim::DiskFault> fault;
};

struct Io::Impl {
  Impl(const IoOptions& chosen, sim::World::Impl& in);
  ~Impl();

  // Turn.
  bool runnable() const;
  bool overflows() const { return events.size() >= world.options.network.completions_max; }
  void tell_queued();
  void tell(Stream& stream);
  void tell_received(Stream& stream);
  void push(EventKind kind, const Stream& of, int32_t result, Bytes data = {});
  void make_ready(Stream& stream);
  void die(sim::Crash kind);

  // Listeners.
  bool accepts(const Listener& listener) const;
  void accept_waiting();
  void close_listener(Listener& listener);
  Listener* listener_for(const SocketAddress& target, bool& full);

  // Streams. The on_ functions are called by the World when something reached a side.
  Stream* stream(StreamId name) { return streams.find({name.index, name.generation}); }
  Stream* new_stream(const sim::ConnectionPointer& connection, size_t side, Token token);
  void on_connected(SlotHandle slot, int32_t result);
  void on_arrival(SlotHandle slot);
  void on_room(SlotHandle slot);
  void on_reset(SlotHandle slot);
  void pump(Stream& stream);
  void finish_send(Stream& stream, int32_t result);
  void take_arrived(Stream& stream, size_t octets);
  void advance_close(Stream& stream);
  void abort_stream(Stream& stream);
  void cancelled(Stream& stream);
  void half_close(StreamId name);
  void leave_connection(Stream& stream, bool crashed);

  // Datagrams.
  Datagram* datagram(DatagramId name) { return datagrams.find({name.index, name.generation}); }
  void on_datagram(SlotHandle slot, const SocketAddress& from, Bytes data);
  void on_datagram_error(SlotHandle slot, int32_t result);
  void tell_datagrams();

  // Files.
  void submit(FileOperation operation, FileId file);
  void complete(SlotHandle slot);
  int32_t perform(FileOperation& operation);
  int32_t perform_write(FileOperation& operation, OpenFile& open);
  int32_t perform_read(const FileOperation& operation, const OpenFile& open);

  Io* owner = nullptr;
  IoOptions options;
  sim::World::Impl& world;
  uint32_t id;
  Prng random;
  bool dead = false;
  bool rung = false;
  Monotonic until{};         // when its shard wants to be woken
  uint32_t empty_turns = 0;  // in a row
  void* driver_self = nullptr;
  sim::World::Turn driver = nullptr;
  uint32_t receive_buffers_left = 0;
  std::vector<Event> events;
  std::vector<Event> queued;                  // to be told next: accepted, file_done
  std::vector<std::vector<std::byte>> spent;  // what the current events' data refers to
  std::vector<Listener> listeners;
  SlotPool<Stream, 64> streams;
  SlotPool<Datagram, 64> datagrams;
  std::vector<DatagramArrival> datagrams_arrived;
  SlotPool<FileOperation, 64> file_operations;
  std::vector<OpenFile> files;
  IntrusiveList<Stream, &Stream::link> ready;  // have something to be told
};

}  // namespace ringmta::ring
