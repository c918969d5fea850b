// SPDX-License-Identifier: GPL-3.0-or-later
// A shard that does nothing but keep mail: an Io and a Spool that the test turns, on a real disk or
// (RINGMTA_SIMULATED) a simulated one.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ringmta/ring/disk.h"
#include "ringmta/ring/io.h"
#include "ringmta/spool/spool.h"

#ifdef RINGMTA_SIMULATED
#include "ringmta/sim/world.h"
#endif

namespace ringmta::spool {

// A message as a test makes it: everything follows from its number.
struct Letter {
  uint64_t number = 0;
  size_t octets = 1000;
  uint32_t recipients = 1;

  std::string content() const;  // wire form
  std::string trace() const;
  std::string wire() const { return trace() + content(); }
  std::string recipient(uint32_t index) const;
  std::string sender() const;
};

class Keeper {
 public:
  explicit Keeper(const SpoolOptions& chosen) : options(chosen) {}
  ~Keeper() { stop(); }

  // Recovers what is in the directory and begins. False: refused, see `error`.
  bool start(uint32_t shards = 1, uint32_t threads = 1);
  bool start_with(Recovery* with);
  void stop();

  void turn(Milliseconds time = Milliseconds{20});
  bool drive(const std::function<bool()>& done, Milliseconds limit = seconds(20));
  bool settle() {  // until nothing waits to be written
    return drive([this] { return spool->idle(); });
  }

  // `number`, unless it is zero, becomes the tag.
  StoredHandle store(const Letter& letter);
  StoredHandle store_gathered(const Letter& letter, size_t piece = 5000);
  // Stores and waits; a null handle when it failed.
  StoredHandle keep(const Letter& letter);
  std::string wire(StoredHandle message, bool with_dot = true) const;
  std::string sender(StoredHandle message) const;

  SpoolOptions options;
  std::unique_ptr<ring::Io> io;
  std::unique_ptr<Recovery> recovery;
  std::unique_ptr<Spool> spool;
  std::string error;
  std::vector<Done> done;
  struct Found {
    StoredHandle handle;
    std::string sender;
    std::vector<std::string> recipients;
    std::vector<RecipientState> states;
  };
  std::map<uint64_t, Found> found;  // what recovery gave, by id

 private:
  std::vector<smtp::RecipientView> views_;
  std::vector<std::string> texts_;
  std::string sender_;
  MessageHead head_of(const Letter& letter);
};

}  // namespace ringmta::spool
