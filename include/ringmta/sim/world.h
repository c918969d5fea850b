// SPDX-License-Identifier: GPL-3.0-or-later
// A world to run a relay in: clock, network and disk in memory, all decided by one seed. Programs
// linked with sim_dep instead of ring_dep get the Io of ring/io.h and the calls of ring/disk.h
// answered by the World of their thread.
//
// The insight: everything the outside world could do to a relay (how long a segment takes, how it
// is cut, in which order the shards run, which sectors a power failure leaves half written) is one
// number taken from one generator. A failure found once is found again by its seed.
//
// How time passes: Io::turn() never waits. A turn that yields nothing says by its `until` how long
// this shard would sleep; when all shards sleep, step() moves the clock to the next thing that
// happens. Shards run one at a time in an order taken from the seed.
//
// How the disk fails (power): a sector of 512 octets is old or new, never mixed. What a completed
// durable write or a completed sync covered is kept. Anything else, in flight or merely written,
// is kept or lost sector by sector. A name made by open_file() is kept once its file was
// synced or its directory was (every call of disk.h that changes names does that), as on ext4 and
// XFS; before, it is kept or lost. After a failed sync the sectors it should have kept are lost at
// a power failure even if a later sync succeeds, as Linux has it. A sector that is written again
// before any sync may have been stored in between, by a coin: writes that nobody synced reach the
// disk in any order.
//
// Limits: one thread; a World outlives the Ios made in it; no directories are removed.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "ringmta/base/address.h"
#include "ringmta/base/time.h"
#include "ringmta/ring/io.h"

namespace ringmta::sim {

struct NetworkOptions {
  int64_t latency_us_min = 20;  // one way, for each segment; a connection keeps its order
  int64_t latency_us_max = 500;
  uint32_t segment_octets_max = 16384;  // each segment has a random length from 1 to this
  uint32_t window_octets = 256 * 1024;  // what a peer that does not read takes in
  uint64_t reset_one_in = 0;            // each arriving segment is a reset one time in so many
  Milliseconds connect_timeout = seconds(127);  // for an unreachable peer or a full backlog
  // Each datagram has a latency of its own, so they overtake each other. One time in so many it is
  // lost, or arrives twice.
  uint64_t datagram_loss_one_in = 0;
  uint64_t datagram_double_one_in = 0;
  // What is scarce in the ring. Of one shard and one turn: with fewer receive buffers streams
  // starve (ENOBUFS), with fewer completions the completion queue overflows; what found no room
  // comes in later turns.
  uint32_t receive_buffers_max = UINT32_MAX;
  uint32_t completions_max = UINT32_MAX;
  // A cancellation takes up to so long: until then a send in flight has its memory, and `closed`
  // does not come. The send may have been done after all.
  int64_t cancel_us_max = 0;
};

struct DiskOptions {
  int64_t latency_us_min = 10;  // of each operation
  int64_t latency_us_max = 1000;
  uint64_t capacity_octets = UINT64_MAX;  // beyond it: short writes, then ENOSPC
  uint64_t stall_one_in = 0;              // one operation in so many takes up to stall_max
  Milliseconds stall_max = seconds(30);
  uint64_t flip_one_in = 0;  // one read in so many has one wrong bit; another read of it is right
};

struct WorldOptions {
  uint64_t seed = 1;
  WallTime wall{1'767'225'600'000};  // 2026-01-01T00:00:00Z
  NetworkOptions network{};
  DiskOptions disk{};
};

enum class DiskOperation : uint8_t { read, write, sync, allocate };

// What happens to one file operation asked of an Io from now on. Faults are independent: each
// counts the operations that match it and is gone once it has struck.
struct DiskFault {
  DiskOperation operation = DiskOperation::write;
  uint64_t nth = 1;             // 1: the next one that matches
  int32_t error = 0;            // a positive errno; 0: it ends short instead
  uint64_t short_octets = 0;    // how many octets a short read or write moves
  std::string path_contains{};  // empty: any file
};

enum class Crash : uint8_t {
  power,   // the machine stops: what was not on stable storage may be lost
  process  // kill -9: what was written stays, what was in flight was done or not
};

class World final {
 public:
  using Turn = void (*)(void* self);

  explicit World(const WorldOptions& options = {});
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // The one World of this thread; a bug to ask when there is none.
  static World& current();

  Monotonic now() const;
  WallTime wall() const;
  void step_wall_clock(Milliseconds by);  // an administrator sets the clock
  uint64_t random();
  // A running hash of every event delivered to every Io: equal for equal runs.
  uint64_t trace() const;

  // Driving. `turn` is called with `self` whenever `io` has something to do; typically
  // shard::Loop::turn. Ios without one are turned by the test itself, which moves the clock by
  // advance() when nothing comes.
  void drive(ring::Io& io, void* self, Turn turn);
  // Runs one shard once, or, when all sleep, moves the clock, though not beyond `limit`. False:
  // nothing will ever happen, or nothing before `limit` (the clock stands there then).
  bool step(Monotonic limit = Monotonic::never());
  // Moves the clock to the next thing that happens, though not beyond `limit`; runs nobody.
  bool advance(Monotonic limit = Monotonic::never());
  // Steps until `done()`, which is looked at before each step. False: it did not come true within
  // `limit` of simulated time.
  template <typename Predicate>
  bool run_until(Predicate&& done, Milliseconds limit) {
    const Monotonic end = now() + limit;
    while (!done()) {
      if (!step(end)) return done();
    }
    return true;
  }
  void run_for(Milliseconds time) {
    run_until([] { return false; }, time);
  }

  // The network. Options may be changed at any time.
  NetworkOptions& network();
  void refuse(const SocketAddress& peer, bool refused);              // ECONNREFUSED
  void make_unroutable(const SocketAddress& peer, bool unroutable);  // ENETUNREACH
  void make_unreachable(const SocketAddress& peer, bool silent);     // ETIMEDOUT, in its time
  // The next connection made to `peer` is reset, for both ends, as soon as `octets` have arrived on
  // it, counted in both directions together. Calls queue up: one connection each.
  void reset_after(const SocketAddress& peer, uint64_t octets);
  // The end of `io`'s stream finishes sending (as shutdown(SHUT_WR) does) and goes on receiving. No
  // send may be in flight.
  void half_close(ring::Io& io, ring::StreamId stream);

  // The disk. Options may be changed at any time.
  DiskOptions& disk();
  void inject(const DiskFault& fault);
  // Faults and resets asked for that have not struck yet never will.
  void clear_faults();
  uint64_t disk_octets_used() const;
  // The disk has changed what is stored: these bits of one octet are the other way round from now
  // on. Past the end of the file, or without one: nothing happens.
  void flip(const std::string& path, uint64_t offset, std::byte bits);

  // What an Io holds open, and has in flight.
  struct Held {
    uint32_t streams = 0, datagrams = 0, files = 0, operations = 0;
  };
  static Held held(ring::Io& io);

  // Which faults have struck, by name, and how often: a run that was to be in trouble can show it.
  using Struck = std::map<std::string_view, uint64_t>;
  const Struck& struck() const;

  // These Ios die as they are: their turns yield nothing any more, calls to them do nothing, their
  // peers see resets. Call it before their owners are destroyed, for what is in flight still uses
  // the owners' memory. Locks of directories are given up.
  void crash(std::span<ring::Io* const> dead, Crash kind);
  // What the end of a process does to the locks it holds, for a restart without a crash.
  void release_locks();

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace ringmta::sim
