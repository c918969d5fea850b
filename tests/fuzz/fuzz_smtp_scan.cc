// SPDX-License-Identifier: GPL-3.0-or-later
// The content scanner: every kernel, whole and in pieces, must find the same in the same octets.
// The first two octets choose framing, line limit and the length of the pieces.
#include <algorithm>
#include <string_view>
#include <tuple>
#include <vector>

#include "ringmta/base/assert.h"
#include "ringmta/smtp/scan.h"

namespace ringmta::smtp {
namespace {

auto findings(std::string_view input, Framing framing, uint32_t limit, size_t piece_length,
              ScanKernel kernel) {
  ContentScanner scanner(kernel);
  scanner.start(framing, limit);
  size_t consumed = 0, dots = 0;
  bool ended = false;
  while (consumed < input.size() && !ended) {
    // Memory of exactly this size, so that a read beyond it is seen by the sanitizer.
    const std::string_view view = input.substr(consumed, piece_length);
    const std::vector<char> piece(view.begin(), view.end());
    size_t used = 0;
    while (used < piece.size() && !ended) {
      const auto step = scanner.scan({piece.data() + used, piece.size() - used});
      RINGMTA_ASSERT(step.consumed > 0 && step.consumed <= piece.size() - used);
      used += step.consumed;
      ended = step.event == ContentScanner::Event::end;
      if (step.event == ContentScanner::Event::dot) ++dots;
    }
    consumed += used;
  }
  if (framing == Framing::counted) scanner.finish();
  const HeaderFacts facts = scanner.facts();
  const bool names_known = ended || framing == Framing::counted;
  return std::tuple(consumed, ended, dots, scanner.fault(), scanner.octets(),
                    scanner.at_line_start(), facts.has_eight_bit,
                    names_known && facts.has_dot_stuffing, names_known && facts.has_date,
                    names_known && facts.has_message_id, names_known && facts.has_from,
                    names_known ? facts.received_count : 0);
}

}  // namespace
}  // namespace ringmta::smtp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringmta::smtp;
  if (size < 2) return 0;
  const Framing framing = (data[0] & 1) != 0 ? Framing::dots : Framing::counted;
  const uint32_t limit = data[0] >> 1;
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  const auto whole = findings(input, framing, limit, size, ScanKernel::portable);
  for (const ScanKernel kernel : {ScanKernel::portable, ScanKernel::avx2, ScanKernel::avx512}) {
    if (!supported(kernel)) continue;
    RINGMTA_ASSERT(findings(input, framing, limit, size, kernel) == whole);
    RINGMTA_ASSERT(findings(input, framing, limit, 1 + data[1] % 97U, kernel) == whole);
    RINGMTA_ASSERT(findings(input, framing, limit, 1, kernel) == whole);
  }
  return 0;
}
