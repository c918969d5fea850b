// SPDX-License-Identifier: GPL-3.0-or-later
// Letters between shards: a mailbox for each ordered pair, and one more per shard for the
// supervisor's threads.
//
// The insight: a letter is a pointer whose ownership travels with it, so nothing is copied and
// nothing shared. A full mailbox never blocks and never drops: the sender keeps the letter in its
// own overflow and tries again each turn.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "ringmta/base/types.h"
#include "ringmta/shard/loop.h"
#include "ringmta/shard/mailbox.h"

namespace ringmta::relay {

struct Letter {
  enum class Kind : uint8_t {
    lent,      // Job*: deliver it, this shard is the site's home
    returned,  // Job*: verdicts are in, it is its keeper's again
    question,  // dns::MxQuery*: for this shard to ask, it is the domain's home
    answer,    // dns::MxQuery*: what came of it, back at its asker
    task       // Task*: from the supervisor
  };
  Kind kind = Kind::lent;
  void* what = nullptr;
};

class Exchange final {
 public:
  explicit Exchange(uint32_t shards);

  // Makes shard `id` reachable; before anything is posted to it.
  void attach(ShardId id, shard::Loop& loop);

  // From the thread of shard `from`.
  void post(ShardId from, ShardId to, Letter letter);
  // Overflowed letters of shard `from`; true: some still wait.
  bool retry(ShardId from);

  // From any other thread.
  void post_from_outside(ShardId to, Letter letter);

  // Next letter for shard `to`, on its thread. False: none.
  bool take(ShardId to, Letter& letter);

  // At the end, when every shard stands still: what nobody will read any more. (Jobs are their
  // keepers'.)
  void drop_letters();

 private:
  static constexpr size_t kCapacity = 4096;
  using Box = shard::Mailbox<Letter>;

  Box& box(ShardId from, ShardId to) { return *boxes_[from.value * shards_ + to.value]; }
  void wake(ShardId to);

  uint32_t shards_;
  std::vector<std::unique_ptr<Box>> boxes_;
  struct Overflow {
    ShardId to;
    Letter letter;
  };
  std::vector<std::deque<Overflow>> overflow_;  // by sender
  std::vector<shard::Loop*> loops_;
  std::vector<uint32_t> next_sender_;  // by receiver: where its last look ended

  struct Outside {
    std::mutex lock;  // between the supervisor's threads; the shard looks only when told to
    std::deque<Letter> letters;
    std::atomic<bool> waiting{false};
  };
  std::vector<std::unique_ptr<Outside>> outside_;
};

}  // namespace ringmta::relay
