// SPDX-License-Identifier: GPL-3.0-or-later
// Why a delivery is still here: the last reply or trouble, kept once however many deliveries share
// it (what is said to a million messages, a provider says in the same words). For the operator's
// list and for the notification when a message expires.
//
// Limit: kReasonsMax different replies are kept; beyond it a delivery has none of its own and its
// site's last trouble is told instead.
#pragma once

#include <string>
#include <string_view>

#include "index_table.h"
#include "ringmta/base/slot_pool.h"
#include "ringmta/smtp/client_session.h"
#include "ringmta/smtp/reply.h"

namespace ringmta::queue {

inline constexpr uint32_t kReasonsMax = 65'536;
inline constexpr size_t kReasonTextMax = 1024;  // octets of one that are kept

struct ReasonView {
  std::string_view text;  // one line
  std::string_view peer;  // host it came from; empty: nobody answered
  smtp::Phase phase = smtp::Phase::connect;
  uint16_t code = 0;  // 0: our own words
  smtp::EnhancedStatus status{};
};

class Reasons final {
 public:
  // The number of a reason, counted as one use; kNone when there are too many. `always`: never
  // kNone, for the few that must be kept (of domains and sites).
  uint32_t use(const ReasonView& reason, bool always = false);
  uint32_t use_again(uint32_t index);  // another use of the same; kNone stays kNone
  void drop(uint32_t index);           // kNone: nothing
  ReasonView view(uint32_t index) const;
  size_t memory_octets() const { return pool_.memory_bytes() + table_.memory_octets() + octets_; }

 private:
  struct Reason {
    std::string text, peer;
    uint64_t hash = 0;
    uint32_t uses = 0;
    smtp::Phase phase = smtp::Phase::connect;
    uint16_t code = 0;
    smtp::EnhancedStatus status{};
  };
  mutable SlotPool<Reason> pool_{kNone};
  IndexTable table_;
  size_t octets_ = 0;
};

// "550 5.1.1 no such user": as a reply's line, whether or not `text` has the status already.
std::string reply_line(const ReasonView& reason);

}  // namespace ringmta::queue
