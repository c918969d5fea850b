// SPDX-License-Identifier: GPL-3.0-or-later
// The end of a file that a crash or a full disk cut within a line.
#include "ringmta/events/writer.h"
#include "ringmta/ring/disk.h"

namespace ringmta::events {

Status end_last_line(const std::string& file) {
  constexpr std::string_view kLineFeed = "\n";
  const Result<uint64_t> size = ring::disk::size(file);
  if (!size || *size == 0) return {};
  const auto last = ring::disk::read(file, *size - 1, 1);
  if (!last || last->empty() || last->front() == std::byte{'\n'}) return {};
  return ring::disk::overwrite(file, *size, as_bytes(kLineFeed));
}

}  // namespace ringmta::events
