// SPDX-License-Identifier: GPL-3.0-or-later
// Delivery events: one JSON line per recipient and outcome, and one whenever a site or domain is
// held, for whoever counts, bills or alarms.
//
// The insight: an event is written where it is made. The shard composes the line into a chunk of
// its own memory and hands whole chunks to the kernel, one write at a time; all shards append to
// one file, and since each write is a run of whole lines under O_APPEND, lines never mix. No
// thread, no queue between threads, no allocation per event.
//
// Failure: what cannot be written (disk full, I/O error) is kept and tried again every second, up
// to EventOptions::buffer_max; beyond that new lines are lost, counted and warned about. A message
// never waits for its events.
//
// A write that ends short leaves the beginning of a line in the file. Then the next write begins
// with a line feed and repeats that line whole. Should another shard's write have come in between,
// its first line stands behind the fragment; since `{"event":"` cannot occur within a JSON string
// (its quotes would be escaped), cutting a bad line in front of each `{"event":"` gives it back.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "ringmta/base/result.h"
#include "ringmta/base/types.h"
#include "ringmta/events/options.h"
#include "ringmta/queue/queue.h"
#include "ringmta/shard/loop.h"

namespace ringmta::events {

struct EventCounters {
  uint64_t written = 0;         // lines
  uint64_t written_octets = 0;  // without fragments of short writes
  uint64_t writes = 0;          // those that wrote anything
  uint64_t write_errors = 0;    // failed writes
  uint64_t lost = 0;            // lines given up because the buffer was full
  uint64_t memory_octets = 0;   // chunks held now
};

// Before any shard writes to it: a file that ends within a line gets a line feed. (A shard could
// not tell such an end from another shard's write under way.) Blocks. A file that is not there, or
// that cannot be read, is left as it is.
Status end_last_line(const std::string& file);

class Writer final {
 public:
  // Opens the file (created with mode 0640 if absent). With an empty file name everything below
  // does nothing.
  static Result<std::unique_ptr<Writer>> create(shard::Loop& loop, const EventOptions& options,
                                                std::string_view hostname, ShardId shard);
  // What is not written yet is lost, with a warning: turn the loop until idle() before.
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void record(const queue::Outcome& outcome);
  void record(const queue::Held& held);

  void on_event(const ring::Event& event);  // events with Owner::events tokens, timers included
  bool flush();   // stage: starts the next write when it is due; never asks not to sleep
  void reopen();  // after the file was moved away (log rotation); what is buffered goes to the new
  bool idle() const;  // everything is written

  const EventCounters& counters() const;

 private:
  struct Impl;
  explicit Writer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;  // null: no events are wanted
};

}  // namespace ringmta::events
