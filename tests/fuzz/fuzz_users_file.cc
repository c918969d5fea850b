// SPDX-License-Identifier: GPL-3.0-or-later
// The users file: any octets are a table or faults with line numbers; a table whose file gets a
// user put in is a table that has that user and every other one as before.
#include <string>
#include <vector>

#include "input.h"
#include "ringmta/base/assert.h"
#include "ringmta/base/base64.h"
#include "ringmta/sasl/users.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringmta;
  using namespace ringmta::sasl;
  const std::string_view text(reinterpret_cast<const char*>(data), size);

  std::string octets, again;
  if (append_base64_decoded(text, octets)) {
    append_base64(as_bytes(octets), again);
    RINGMTA_ASSERT(again == text);
  } else {
    RINGMTA_ASSERT(octets.empty());
  }

  std::vector<UserFault> faults;
  const auto users = Users::parse(text, faults);
  RINGMTA_ASSERT((users == nullptr) == !faults.empty());
  static const ScramVerifier verifier = make_verifier("password", "sixteen octets..", 4096);
  const std::string changed = with_user(text, "newcomer", verifier, "a secret of 16 octets");
  if (users == nullptr) return 0;
  std::vector<UserFault> faults_after;
  const auto after = Users::parse(changed, faults_after);
  RINGMTA_ASSERT(after != nullptr && after->has_secret());
  const User* newcomer = after->find("newcomer");
  RINGMTA_ASSERT(newcomer != nullptr && newcomer->verifier.stored == verifier.stored);
  RINGMTA_ASSERT(after->size() == users->size() + (users->find("newcomer") == nullptr ? 1 : 0));
  // A second time nothing changes.
  RINGMTA_ASSERT(with_user(changed, "newcomer", verifier, "another secret of 16") == changed);
  const User* user = users->find("user");
  if (user != nullptr) {
    const User* same = after->find("user");
    RINGMTA_ASSERT(same != nullptr && same->verifier.stored == user->verifier.stored &&
                   same->senders == user->senders && same->tenant == user->tenant);
  }
  return 0;
}
