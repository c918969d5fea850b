// SPDX-License-Identifier: GPL-3.0-or-later
// Passwords and tokens as files and commands give them, JSON among them: a secret or a refusal, and
// no refusal has the secret in it.
#include <string>

#include "input.h"
#include "ringmta/base/assert.h"
#include "secret_source.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringmta::client;
  ringmta::fuzz::Input input(data, size);
  const bool token = (input.byte() & 1) != 0;
  const auto secret = read_secret(input.rest(), token);
  if (secret) {
    RINGMTA_ASSERT(secret->lifetime.count >= 0);
  } else {
    RINGMTA_ASSERT(!secret.error().message.empty() && secret.error().message.size() < 200);
  }
  return 0;
}
