// SPDX-License-Identifier: GPL-3.0-or-later
// Interning of tenants' names.
#include "tenants.h"

namespace ringmta::queue {

uint32_t Tenants::use(std::string_view name) {
  const uint64_t hash = hash_text(name);
  const uint32_t found =
      table_.find(hash, [&](uint32_t index) { return pool_.at_index(index)->name == name; });
  if (found != kNone) {
    ++pool_.at_index(found)->uses;
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
  Tenant& tenant = *pool_.at_index(index);
  if (--tenant.uses > 0) return;
  table_.erase(tenant.hash, index);
  pool_.release(pool_.handle_at(index));
}

}  // namespace ringmta::queue
