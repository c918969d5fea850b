// SPDX-License-Identifier: GPL-3.0-or-later
// Replies of next hops: however they are cut they are the same replies, bounded and clean lines.
#include <string>
#include <vector>

#include "input.h"
#include "ringmta/base/assert.h"
#include "ringmta/smtp/reply.h"

namespace ringmta::smtp {
namespace {

std::string read_all(std::string_view text, size_t piece_length) {
  ReplyParser parser;
  std::string all;
  bool broken = false;
  fuzz::in_pieces(text, piece_length, [&](std::string_view piece) {
    while (!piece.empty() && !broken) {
      const ReplyParser::Step step = parser.step(as_bytes(piece));
      RINGMTA_ASSERT(step.consumed <= piece.size());
      piece.remove_prefix(step.consumed);
      switch (step.state) {
        case ReplyParser::State::more:
          RINGMTA_ASSERT(piece.empty());
          break;
        case ReplyParser::State::complete: {
          const Reply& reply = parser.reply();
          RINGMTA_ASSERT(step.consumed > 0 && reply.code >= 200 && reply.code <= 599);
          RINGMTA_ASSERT(reply.text.size() <= ReplyParser::kTextMax && !parser.in_reply());
          for (const char c : reply.line()) {
            RINGMTA_ASSERT(static_cast<unsigned char>(c) >= ' ' && c != 0x7F);
          }
          // A status that contradicts its code would make a refusal look like something else.
          if (reply.status) RINGMTA_ASSERT(reply.status.klass == reply.code / 100);
          all += "{" + reply.line() + "|" + reply.text + "}";
          break;
        }
        case ReplyParser::State::malformed:
          RINGMTA_ASSERT(!parser.problem().empty());
          all += "malformed";  // of two things that are wrong, either may be told
          broken = true;
          break;
      }
    }
  });
  return all;
}

}  // namespace
}  // namespace ringmta::smtp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringmta;
  if (size < 1) return 0;
  fuzz::Input input(data, size);
  const size_t length = 1 + input.byte() % 61U;
  const std::string whole = smtp::read_all(input.rest(), size);
  RINGMTA_ASSERT(smtp::read_all(input.rest(), length) == whole);
  RINGMTA_ASSERT(smtp::read_all(input.rest(), 1) == whole);
  smtp::parse_enhanced_status(input.rest());
  return 0;
}
