// SPDX-License-Identifier: GPL-3.0-or-later
// How fast new questions are sent to the servers.
//
// A server's socket holds some 270 small datagrams by Linux' defaults. A burst of thousands (a
// relay that starts with a hundred thousand domains queued) would lose most of them and cost each a
// second of waiting. So at most `burst` new questions leave within four milliseconds, which a
// server that answers 30,000 a second keeps up with; fewer where datagrams get lost all the same.
//
// The insight: loss and slowness can be told apart. If the second datagram of a question is
// answered while the first one to the same server is not, the first was lost: a server that was
// merely slow would have answered both. So dead and slow domains never slow down the asking.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ringmta/base/time.h"

namespace ringmta::dns {

class Pace final {
 public:
  static constexpr Milliseconds kPeriod{4};

  // May one more be asked now? asked() is called for each that was.
  bool admits(Monotonic now) {
    if (now >= next_) {
      const bool in_demand = left_ == 0;
      if (in_demand && now >= careful_until_) burst_ = std::min(burst_ + 1, kBurstMax);
      next_ = now + kPeriod;
      left_ = burst_;
    }
    return left_ > 0;
  }
  void asked() { --left_; }
  Monotonic next() const { return next_; }

  void lost(Monotonic now) {
    if (now < careful_until_) return;  // of the same burst
    burst_ = std::max(burst_ / 2, kBurstMin);
    careful_until_ = now + seconds(2);
  }

 private:
  static constexpr uint32_t kBurstMin = 8;
  static constexpr uint32_t kBurstMax = 256;
  uint32_t burst_ = 128;
  uint32_t left_ = 128;
  Monotonic next_{};
  Monotonic careful_until_{};
};

}  // namespace ringmta::dns
