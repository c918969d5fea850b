// SPDX-License-Identifier: GPL-3.0-or-later
// One TXT record from the DNS, by the relay's own resolver.
#pragma once

#include <string>
#include <vector>

#include "ringmta/base/result.h"
#include "ringmta/dns/resolver.h"

namespace ringmta::cli {

struct TextRecords {
  dns::Fate fate = dns::Fate::failed;
  std::string why;                   // with `failed`
  std::vector<std::string> records;  // their strings joined
};

// Blocks until the DNS has answered or [dns] query_timeout is over. Without servers in `options`
// those of /etc/resolv.conf are asked.
Result<TextRecords> look_up_text(const std::string& name, dns::ResolverOptions options);

}  // namespace ringmta::cli
