// SPDX-License-Identifier: GPL-3.0-or-later
// The grammar: what is accepted as an address can be written between < and > again and is read as
// the same, and holds nothing that could end a line or begin a parameter.
#include <string>
#include <vector>

#include "ringmta/base/assert.h"
#include "ringmta/smtp/grammar.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringmta::smtp;
  const std::vector<char> memory(data, data + size);
  const std::string_view text(memory.data(), memory.size());
  const Path path = parse_path(text);
  RINGMTA_ASSERT(path.length <= size);
  if (path.length > 0 && path.mailbox.fault == AddressFault::none && !path.mailbox.domain.empty()) {
    const std::string again = "<" + std::string(path.mailbox.address) + ">";
    const Path same = parse_path(again);
    RINGMTA_ASSERT(same.length == again.size() && same.mailbox.fault == AddressFault::none);
    RINGMTA_ASSERT(same.mailbox.domain == path.mailbox.domain);
    RINGMTA_ASSERT(is_utf8(again));
    for (const char c : again) RINGMTA_ASSERT((c < 0 || c >= ' ') && c != 0x7F);
  }
  const Mailbox mailbox = parse_mailbox(text);
  if (mailbox.fault == AddressFault::none) RINGMTA_ASSERT(mailbox.address == text);
  is_domain(text, true);
  is_helo_name(text);
  is_envelope_id(text);
  is_original_recipient(text, true);
  parse_notify(text);
  std::string_view rest = text;
  Parameter parameter;
  while (next_parameter(rest, parameter) && !parameter.keyword.empty()) {
  }
  return 0;
}
