// SPDX-License-Identifier: GPL-3.0-or-later
// Who a message is accounted to when turns are shared out: the configured or authenticated
// submitter, else the domain of its reverse-path; our own notifications are a tenant too (the empty
// name). Names are kept once: of all that have messages queued, and of the last kTenantsIdleMax
// that had some (in quiet times a tenant comes and goes with each message).
#pragma once

#include <string>
#include <string_view>

#include "index_table.h"
#include "ringmta/base/slot_pool.h"

namespace ringmta::queue {

inline constexpr uint32_t kTenantsIdleMax = 1024;

class Tenants final {
 public:
  uint32_t use(std::string_view name);  // counted as one use
  void drop(uint32_t index);
  size_t memory_octets() const { return pool_.memory_bytes() + table_.memory_octets(); }

 private:
  struct Tenant {
    std::string name;
    uint64_t hash = 0;
    uint32_t uses = 0;
    uint32_t previous = kNone, next = kNone;  // of the idle
  };
  SlotPool<Tenant> pool_{kNone};
  IndexList idle_;  // longest idle first
  IndexTable table_;
};

}  // namespace ringmta::queue
