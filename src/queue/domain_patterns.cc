// SPDX-License-Identifier: GPL-3.0-or-later
// Patterns in one hash map; ".example.org" is kept with its dot, so it never equals a name.
#include "domain_patterns.h"

#include <cstring>

#include "index_list.h"
#include "ringmta/base/bytes.h"

namespace ringmta::queue {

std::string_view domain_of(std::string_view address) {
  // A domain has no "@", a quoted local part may.
  if (address.empty()) return {};
  const void* at = memrchr(address.data(), '@', address.size());
  if (at == nullptr) return {};
  return address.substr(static_cast<size_t>(static_cast<const char*>(at) - address.data()) + 1);
}

void DomainPatterns::add(std::string_view pattern, uint32_t rule) {
  rules_.try_emplace(lower(pattern), rule);
}

uint32_t DomainPatterns::find(std::string_view domain) const {
  if (rules_.empty()) return kNone;
  if (const auto exact = rules_.find(domain); exact != rules_.end()) return exact->second;
  for (size_t dot = domain.find('.'); dot != std::string_view::npos;
       dot = domain.find('.', dot + 1)) {
    if (const auto suffix = rules_.find(domain.substr(dot)); suffix != rules_.end())
      return suffix->second;
  }
  const auto rest = rules_.find(std::string_view("*"));
  return rest == rules_.end() ? kNone : rest->second;
}

}  // namespace ringmta::queue
