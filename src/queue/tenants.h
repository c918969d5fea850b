// SPDX-License-Identifier: GPL-3.0-or-later
// Who a message is accounted to when turns are shared out: the configured or authenticated
// submitter, else the domain of its reverse-path; our own notifications are a tenant too (the empty
// name). Names are kept once, and while messages of theirs are queued.
#pragma once

#include <string>
#include <string_view>

#include "index_table.h"
#include "ringmta/base/slot_pool.h"

namespace ringmta::queue {

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
  };
  SlotPool<Tenant> pool_{kNone};
  IndexTable table_;
};

}  // namespace ringmta::queue
