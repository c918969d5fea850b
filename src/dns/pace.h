// SPDX-License-Identifier: GPL-3.0-or-later
// How many new questions are on their way into the servers' receive buffers at once.
//
// A server's socket holds some 270 small datagrams by Linux' defaults. A burst of thousands (a
// relay that starts with a hundred thousand domains queued) would lose most of them and cost each a
// second of waiting. So at most `window` questions are asked ahead of the answers. The window grows
// by one for sixteen answers and is halved when a datagram was lost, much as TCP does (RFC 5681).
//
// The insight: loss and slowness can be told apart. If the second datagram of a question is
// answered while the first one to the same server is not, the first was lost: a server that was
// merely slow would have answered both. And what is unanswered after 50 ms is in no buffer any
// more: it is being worked on, or lost, and does not count. So dead and slow domains never stop the
// asking.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ringmta/base/time.h"

namespace ringmta::dns {

class Pace final {
 public:
  static constexpr Milliseconds kPeriod{50};

  // May one more be asked now? asked() is called for each that was.
  bool admits(Monotonic now) {
    if (now >= begun_ + kPeriod) {
      begun_ = now;
      ahead_ = 0;
    }
    return ahead_ < static_cast<uint32_t>(window_);
  }
  void asked() { ++ahead_; }
  // When more may be asked though nothing is answered.
  Monotonic next() const { return begun_ + kPeriod; }

  void answered(Monotonic asked_at) {
    if (asked_at >= begun_ && ahead_ > 0) --ahead_;
    window_ = std::min(window_ + 1.0 / 16, kLargest);
  }
  void lost(Monotonic now) {
    if (now < careful_until_) return;  // of the same burst
    window_ = std::max(window_ / 2, kSmallest);
    careful_until_ = now + seconds(2);
  }

 private:
  static constexpr double kSmallest = 16;
  static constexpr double kLargest = 4096;
  double window_ = 128;
  uint32_t ahead_ = 0;
  Monotonic begun_{};
  Monotonic careful_until_{};
};

}  // namespace ringmta::dns
