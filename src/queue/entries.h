// SPDX-License-Identifier: GPL-3.0-or-later
// What the queue keeps of a message while it waits. There may be ten million of them, so every
// octet here is counted; addresses, sizes and contents stay in the spool.
//
// A *delivery* is some recipients of one message that are tried together: same site, same number of
// attempts, same next attempt. Where a peer judges them differently, the delivery is split, so that
// this always holds.
//
// Times are ticks of kTickMs since the queue began: 32 bits last 13 years.
#pragma once

#include <cstdint>
#include <vector>

#include "index_list.h"
#include "ringmta/base/slot_pool.h"
#include "ringmta/base/types.h"
#include "ringmta/spool/spool.h"

namespace ringmta::queue {

inline constexpr int64_t kTickMs = 100;

enum class Place : uint8_t {
  none,        // between two places
  ready,       // in the flow of its tenant at its site
  loading,     // its content is on its way from disk
  loaded,      // it is here and pinned; on the site's list
  active,      // a job is out
  deferred,    // on the wheel, for its next attempt
  unresolved,  // on the list of its domain, which is not known yet
  doomed,      // its fate is known, the message's head must be read to tell it
};

struct Delivery {
  uint32_t message = kNone;
  uint32_t sibling_previous = kNone, sibling_next = kNone;  // of the same message
  uint32_t previous = kNone, next = kNone;                  // where `place` says
  uint32_t due = 0;                                         // deferred: next attempt
  uint32_t site = kNone;
  uint32_t reason = kNone;     // the last reply; in Reasons
  uint32_t recipient = kNone;  // index in the envelope, or, with `several`, of a RecipientList
  uint32_t domain = kNone;     // of the first recipient
  uint16_t attempts = 0;
  Place place = Place::none;
  bool several : 1 = false;
  bool delay_reported : 1 = false;
  bool refused : 1 = false;   // doomed: its domain takes no mail
  bool removed : 1 = false;   // doomed: by the operator
  uint8_t immediate : 4 = 0;  // times in a row it came back unjudged
};

enum class Timing : uint8_t {
  none,     // all its deliveries are under way
  wheel,    // on the wheel, for the next expiry or delay notice
  chore,    // on the list of messages whose head must be read
  loading,  // the head is on its way from disk for that
};

struct Message {
  spool::StoredHandle stored{};
  uint32_t previous = kNone, next = kNone;  // where `timing` says
  uint32_t due = 0;
  uint32_t expires = 0;
  int32_t arrived = 0;  // before the queue began: negative
  uint32_t first_delivery = kNone;
  uint32_t tenant = kNone;
  uint16_t holds = 0;  // DSNs on their way to stable storage, and the like: it must not end yet
  Timing timing = Timing::none;
  bool delay_wanted : 1 = false;  // some recipient may want a delay notice
  bool unreadable : 1 = false;    // the operator was told
  uint8_t reads_failed : 4 = 0;   // in a row
  bool blocked : 1 = false;       // it owes a DSN there was no room for
};

struct Recipient {
  uint32_t index = 0;  // in the envelope
  uint32_t domain = kNone;
};
using RecipientList = std::vector<Recipient>;

using MessagePool = SlotPool<Message, 1024>;
using DeliveryPool = SlotPool<Delivery, 1024>;

// 200 octets for a message with one recipient: these, their slots' 2 x 12, and 64 and 12 of the
// spool.
static_assert(sizeof(Message) == 40);
static_assert(sizeof(Delivery) == 44);

}  // namespace ringmta::queue
