// SPDX-License-Identifier: GPL-3.0-or-later
// Trace lines: whatever a client called itself, the header gets the fields it should have, in lines
// of the lengths RFC 5322 permits, and not one more.
#include <string>

#include "input.h"
#include "ringmta/base/assert.h"
#include "ringmta/smtp/trace.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringmta;
  fuzz::Input input(data, size);
  smtp::TraceFacts facts;
  const uint8_t flags = input.byte();
  facts.esmtp = (flags & 1) != 0;
  facts.tls = (flags & 2) != 0;
  facts.authenticated = (flags & 4) != 0;
  facts.utf8 = (flags & 8) != 0;
  facts.add_date = (flags & 16) != 0;
  facts.add_message_id = (flags & 32) != 0;
  int64_t time = 0;
  for (int i = 0; i < 6; ++i) time = time << 8 | input.byte();
  facts.now = {(flags & 64) != 0 ? -time : time};
  facts.helo = input.until('|');
  facts.client_literal = input.until('|');
  facts.hostname = input.until('|');
  facts.id = input.until('|');
  facts.for_recipient = input.until('|');
  if (facts.tls) {
    facts.tls_version = input.until('|');
    facts.tls_cipher = input.rest();
  }
  smtp::DateCache dates;
  std::string text;
  smtp::append_trace(text, facts, dates);
  size_t fields = 0, begin = 0;
  while (begin < text.size()) {
    const size_t end = text.find("\r\n", begin);
    RINGMTA_ASSERT(end != std::string::npos && end > begin && end - begin <= 998);
    const std::string line = text.substr(begin, end - begin);
    for (const char c : line) {
      RINGMTA_ASSERT((static_cast<unsigned char>(c) >= ' ' && c != 0x7F) ||
                     (c == '\t' && line.front() == '\t'));
    }
    if (line.front() != '\t') {
      ++fields;
      RINGMTA_ASSERT(line.starts_with(fields == 1                     ? "Received: from "
                                      : fields == 2 && facts.add_date ? "Date: "
                                                                      : "Message-ID: <"));
    }
    begin = end + 2;
  }
  RINGMTA_ASSERT(fields == 1U + (facts.add_date ? 1U : 0U) + (facts.add_message_id ? 1U : 0U));
  return 0;
}
