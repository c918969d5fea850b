// SPDX-License-Identifier: GPL-3.0-or-later
#include "ringmta/sasl/prepare.h"

#include <stringprep.h>

#include <algorithm>
#include <array>

#include "ringmta/base/wipe.h"

namespace ringmta::sasl {

std::optional<std::string> prepare(std::string_view text) {
  if (text.empty() || text.size() > kPreparedMax) return std::nullopt;
  const bool ascii = std::all_of(text.begin(), text.end(),
                                 [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (ascii) {
    const bool printable =
        std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c != 0x7F; });
    if (!printable) return std::nullopt;
    return std::string(text);
  }
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  std::array<char, kPreparedMax + 1> work{};
  std::copy(text.begin(), text.end(), work.begin());
  const int result = stringprep(work.data(), work.size(), static_cast<Stringprep_profile_flags>(0),
                                stringprep_saslprep);
  std::optional<std::string> prepared;
  if (result == STRINGPREP_OK && work[0] != '\0') prepared = work.data();
  wipe(work);
  return prepared;
}

}  // namespace ringmta::sasl
