// SPDX-License-Identifier: GPL-3.0-or-later
// What the operator decides about signing. Plain data, filled by config/.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ringmta/base/time.h"
#include "ringmta/dkim/signer.h"

namespace ringmta::dkim {

// One key and the messages it signs. Each key whose rule fits a message signs it.
struct KeyOptions {
  std::string key_file;
  SignatureOptions signature;
  // Domains of the author (From): "example.org", ".example.org" (its subdomains), "*" (any). Empty:
  // the key's own domain and what is below it, unless another such key's domain is closer.
  std::vector<std::string> from;
  std::vector<std::string> tenants;  // empty: any
};

// What becomes of a message that should be signed and cannot be.
enum class OnFailure : uint8_t { refuse, send_unsigned };

struct Options {
  std::vector<KeyOptions> keys;  // none: nothing is signed, and signing costs nothing
  OnFailure on_failure = OnFailure::refuse;
  Milliseconds slice{1};              // signing in one turn of a shard's loop
  uint64_t waiting_max = 67'108'864;  // octets of messages waiting for signatures, per shard
};

}  // namespace ringmta::dkim
