// SPDX-License-Identifier: GPL-3.0-or-later
// Configurations: any octets give settings or mistakes with sentences; settings without a mistake
// can be written out as a file that means the same.
#include <string>

#include "input.h"
#include "ringmta/base/assert.h"
#include "ringmta/config/load.h"
#include "ringmta/config/units.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringmta::config;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Machine machine{{0, 1}, 8ULL << 30, 65'536};
  const Loaded loaded = parse(text, "x.toml", machine);
  for (const Problem& problem : loaded.errors) RINGMTA_ASSERT(!problem.what.empty());
  for (const Problem& problem : loaded.warnings) RINGMTA_ASSERT(!problem.what.empty());
  if (!loaded.errors.empty()) return 0;
  const std::string written = effective(loaded.settings);
  const Loaded again = parse(written, "y.toml", machine);
  RINGMTA_ASSERT(again.errors.empty());
  RINGMTA_ASSERT(changes(loaded.settings, again.settings).empty());
  RINGMTA_ASSERT(effective(again.settings) == written);
  return 0;
}
