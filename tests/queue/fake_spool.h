// SPDX-License-Identifier: GPL-3.0-or-later
// A spool in memory, linked in place of the real one: what the queue asks of it, and no more. The
// Disk outlives the Spool, so a test can end a queue and begin another on what it left.
//
// Order is as in the real one: what is stored is committed, and what is asked for is loaded, by a
// later flush(), never within the call.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "ringmta/spool/spool.h"

namespace ringmta::spool {

struct Disk {
  struct Stored {
    std::string head, content;
    std::map<uint32_t, RecipientState> states;
  };
  std::map<uint64_t, Stored> messages;  // living, by id
  std::vector<uint64_t> finished;       // ids, in order
  uint64_t last_id = 0;

  // What the test makes it do.
  bool accepting = true;
  bool holds_commits = false;  // flush() commits nothing
  bool holds_loads = false;
  uint32_t failing_commits = 0;  // so many of the next ones fail
  bool unreadable = false;
  bool memory_exhausted = false;
  uint32_t loads_in_flight = 0, loads_in_flight_most = 0;
  uint64_t loads = 0;
  int64_t pins = 0;
  std::function<void()> evict_all;  // every content that is not pinned

  // The disk the next Spool::create() of this thread uses.
  static Disk*& current();
};

std::string encode_head(const MessageHead& head);

}  // namespace ringmta::spool
