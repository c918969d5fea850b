// SPDX-License-Identifier: GPL-3.0-or-later
// Interning of tenants' names.
#include "tenants.h"

namespace ringmta::queue {

uint32_t Tenants::use(std::string_view name) {
  const uint64_t hash = hash_text(name);
  const uint32_t found =
      table_.find(hash, [&](uint32_t index) { return pool_.at_index(index)->name == name; });
  if (found != kNone) {
    if (pool_.at_index(found)->uses++ == 0) take_off(pool_, idle_, found);
    return found;
  }
  SlotHandle handle;
  Tenant& made = *pool_.take(handle);
  made.name = name;
  made.hash = hash;
  made.uses = 1;
  table_.insert(hash, handle.index);
  return handle.index;
}

void Tenants::drop(uint32_t index) {
  if (--pool_.at_index(index)->uses > 0) return;
  push_back(pool_, idle_, index);
  if (idle_.count <= kTenantsIdleMax) return;
  const uint32_t oldest = pop_front(pool_, idle_);
  table_.erase(pool_.at_index(oldest)->hash, oldest);
  pool_.release(pool_.handle_at(oldest));
}

}  // namespace ringmta::queue
