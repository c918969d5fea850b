// SPDX-License-Identifier: GPL-3.0-or-later
// What one thread of the load has counted. Its thread alone writes; the progress line reads the
// counters meanwhile, the rest is read after the thread has ended.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tools/common/histogram.h"
#include "tools/common/process.h"

namespace ringmta::tools {

struct Tally {
  static constexpr size_t kIndexesMax = 100'000;  // of messages listed by number
  static constexpr size_t kTextsMax = 64;

  // Messages: each ends in exactly one of the first three, or stays unsent.
  Counter accepted;  // 250 after the end of data
  Counter rejected;  // refused, with retries used up
  Counter unknown;   // the connection was lost after the data and before the reply
  // The books: each 250 that was read after an end of data, and what it was booked as. When the sum
  // of the latter is not the former, the load generator has lost count.
  Counter final_250s;
  Counter final_250s_booked;  // to a message
  Counter final_250s_empty;   // to a transaction of which nothing had been accepted
  Counter accepted_twice;     // the same message booked as accepted again
  Counter recipients_accepted;
  Counter recipients_rejected;
  Counter recipients_unknown;
  Counter octets;  // of accepted messages, as made (without stuffing)
  Counter retries;
  Counter connections;
  Counter connections_lost;    // ended by the peer or the network before QUIT
  Counter connections_failed;  // refused, unreachable, or greeted with an error
  Counter tls_handshakes;      // that succeeded
  Counter tls_resumed;         // of these
  Counter last_accepted_ns;    // monotonic
  Counter early_replies;       // replies nobody asked for, such as 421 on an idle session

  Histogram latency_ns;                   // end of data sent -> 250
  std::array<uint64_t, 1000> codes{};     // every reply that refused something, by code
  std::map<int, std::string> code_texts;  // the first text seen of each
  std::string connect_error;              // the last one
  std::vector<uint64_t> rejected_indexes;
  std::vector<uint64_t> unknown_indexes;

  void refused(int code, std::string_view text) {
    if (code < 0 || code > 999) code = 0;
    if (codes[static_cast<size_t>(code)]++ == 0 && code_texts.size() < kTextsMax) {
      code_texts.emplace(code, text);
    }
  }
  static void remember(std::vector<uint64_t>& indexes, uint64_t index) {
    if (indexes.size() < kIndexesMax) indexes.push_back(index);
  }
};

}  // namespace ringmta::tools
