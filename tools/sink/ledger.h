// SPDX-License-Identifier: GPL-3.0-or-later
// Exactly once: what was delivered, per message number and recipient, for all threads of the sink.
//
// The insight: the load numbers its messages from 0 and says in each how many recipients it has, so
// what is missing can be told without asking the load (gaps below the highest number seen). Four
// octets per message hold the counts; a table of 64-bit hashes (message, recipient) finds what came
// twice. 64 stripes with a lock each keep the threads apart.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ringmta::tools {

// An open-addressing set of 64-bit hashes, 8 octets a slot, never more than 3/4 full.
class HashSet final {
 public:
  bool insert(uint64_t hash);  // false: it was there
  bool contains(uint64_t hash) const;
  size_t size() const { return used_; }

 private:
  void grow();
  std::vector<uint64_t> slots_;
  size_t used_ = 0;
};

struct RunReport {
  static constexpr size_t kListedMax = 1000;
  std::string run;
  uint64_t messages = 0;    // seen at all
  uint64_t recipients = 0;  // deliveries, each counted once
  uint64_t highest_index = 0;
  uint64_t missing = 0;     // numbers below the highest that were never seen
  uint64_t incomplete = 0;  // messages that lack recipients
  uint64_t incomplete_recipients = 0;
  std::vector<std::pair<uint64_t, uint64_t>>
      missing_ranges;                        // first and last, inclusive; the first kListedMax
  std::vector<uint64_t> incomplete_indexes;  // the first kListedMax
};

class Ledger final {
 public:
  struct Duplicates {
    uint32_t sure = 0;
    uint32_t unsure = 0;  // the first delivery's 250 may not have reached the client
  };

  // A message that came whole. `recipients` are hashes of the addresses.
  Duplicates record(std::string_view run, uint64_t index, uint32_t recipients_expected,
                    std::span<const uint64_t> recipients);
  // The connection broke after the 250 for this message: the client may rightly send it again.
  void mark_unsure(std::string_view run, uint64_t index, std::span<const uint64_t> recipients);

  std::vector<RunReport> report() const;

 private:
  static constexpr size_t kStripes = 64;
  static constexpr uint64_t kPageMessages = 256;
  struct Entry {
    uint16_t expected = 0;
    uint16_t delivered = 0;
  };
  using Page = std::array<Entry, kPageMessages>;
  struct Stripe {
    mutable std::mutex mutex;
    HashSet seen;
    HashSet unsure;
    std::unordered_map<uint64_t, std::unique_ptr<Page>> pages;  // by page number and run
  };

  uint32_t run_number(std::string_view run);
  static uint64_t key(uint32_t run, uint64_t index, uint64_t recipient);

  mutable std::mutex runs_mutex_;
  std::vector<std::string> runs_;
  std::array<Stripe, kStripes> stripes_;
};

}  // namespace ringmta::tools
