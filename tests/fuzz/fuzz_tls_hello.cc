// SPDX-License-Identifier: GPL-3.0-or-later
// Our own look at a ClientHello, at certificates and at names in them: total, and a look at more
// octets never changes what a look at fewer has found.
#include <string>
#include <vector>

#include "certificate.h"
#include "client_hello.h"
#include "input.h"
#include "ringmta/base/assert.h"
#include "ringmta/base/bytes.h"

namespace ringmta::tls {
namespace {

void hello(std::string_view text) {
  HelloState before = HelloState::incomplete;
  ClientHello first;
  for (size_t length = 0; length <= text.size(); ++length) {
    const std::vector<char> memory(text.begin(), text.begin() + static_cast<ptrdiff_t>(length));
    ClientHello now;
    const HelloState state = look_at_hello(as_bytes({memory.data(), memory.size()}), now);
    if (before != HelloState::incomplete) {
      RINGMTA_ASSERT(state == before);
      RINGMTA_ASSERT(now.server_name == first.server_name && now.ecdsa == first.ecdsa);
    }
    if (state != HelloState::incomplete && before == HelloState::incomplete) first = now;
    before = state;
    if (length > 600) break;  // every prefix of so many is enough
  }
}

void certificate(std::string_view text) {
  const std::vector<char> memory(text.begin(), text.end());
  const Result<Certificate> read = read_certificate(as_bytes({memory.data(), memory.size()}));
  if (!read) return;
  for (const std::string& name : read->dns_names) {
    if (is_for(*read, name)) RINGMTA_ASSERT(!name.empty());
  }
  is_for(*read, "mail.example.com");
  is_for(*read, "192.0.2.1");
}

// A wildcard never stands for a dot, and never for less than three labels.
void names(fuzz::Input input) {
  const std::string pattern(input.until('\n')), name(input.until('\n'));
  if (!dns_name_matches(pattern, name)) return;
  if (pattern.find('*') == std::string::npos) {
    RINGMTA_ASSERT(equals_ignoring_case(pattern, name));
  } else {
    RINGMTA_ASSERT(pattern.starts_with("*.") && pattern.find('*', 1) == std::string::npos);
    const size_t dot = name.find('.');
    RINGMTA_ASSERT(dot != std::string::npos && dot > 0);
    RINGMTA_ASSERT(equals_ignoring_case(name.substr(dot), pattern.substr(1)));
    RINGMTA_ASSERT(name.find('.', dot + 1) != std::string::npos);
  }
}

}  // namespace
}  // namespace ringmta::tls

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringmta;
  fuzz::Input input(data, size);
  switch (input.byte() % 4) {
    case 0:
      tls::certificate(input.rest());
      break;
    case 1:
      tls::names(input);
      break;
    default:
      tls::hello(input.rest());
      break;
  }
  return 0;
}
