// SPDX-License-Identifier: GPL-3.0-or-later
// Names of what security.h has; nothing of a pool is in here, so that config/ can link it alone.
#include "ringmta/client/security.h"

namespace ringmta::client {

std::string_view to_text(TlsPolicy policy) {
  switch (policy) {
    case TlsPolicy::none:
      return "none";
    case TlsPolicy::opportunistic:
      return "opportunistic";
    case TlsPolicy::required:
      return "required";
    case TlsPolicy::verified:
      return "verified";
  }
  return "unknown";
}

std::string_view name_without_port(std::string_view host) {
  if (host.starts_with('/')) return host;
  if (host.starts_with('[')) {
    const size_t end = host.find(']');
    return end == std::string_view::npos ? host : host.substr(1, end - 1);
  }
  const size_t colon = host.rfind(':');
  if (colon == std::string_view::npos || host.find(':') != colon) return host;  // none, or IPv6
  return host.substr(0, colon);
}

}  // namespace ringmta::client
