// SPDX-License-Identifier: GPL-3.0-or-later
// Message ids as text and back: Crockford's base32, most significant digit first, so that text
// order is time order.
#include "ringmta/base/types.h"

namespace ringmta {
namespace {

constexpr std::string_view kDigits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

}  // namespace

MessageIdText to_text(MessageId id) {
  MessageIdText text{};
  uint64_t rest = id.value;
#pragma GCC unroll 13
  for (size_t i = text.size(); i-- > 0;) {
    text[i] = kDigits[rest & 31];
    rest >>= 5;
  }
  return text;
}

MessageId message_id_from_text(std::string_view text) {
  if (text.size() != kMessageIdTextLength) return {};
  uint64_t value = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c =
        text[i] >= 'a' && text[i] <= 'z' ? static_cast<char>(text[i] - 'a' + 'A') : text[i];
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return {};
    if (i == 0 && digit > 15) return {};  // 13 * 5 = 65 bits: the first digit has only four
    value = (value << 5) | digit;
  }
  return {value};
}

}  // namespace ringmta
