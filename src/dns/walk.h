// SPDX-License-Identifier: GPL-3.0-or-later
// Walking over a DNS message with nothing but bounds, before anything is decoded: what loops, leads
// out of the message or is more trouble than any honest name is found out here, so that ldns is
// only given what it can decode in little time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ringmta::dns {

struct Wire {
  const uint8_t* data;
  size_t size;
  // Big-endian; `at` is within bounds.
  uint16_t word(size_t at) const { return static_cast<uint16_t>(data[at] << 8 | data[at + 1]); }
};

// Moves `at` behind the name that begins there; false: it is not one, or not one worth following.
// Pointers must point before the labels they come after, so each step goes backwards.
bool skip_name(const Wire& wire, size_t& at);

struct RecordPlace {
  size_t begin = 0;  // of the owner's name
  size_t data = 0;   // of the record's data
  size_t end = 0;
  uint16_t type = 0;
  uint16_t klass = 0;
};

// The record at `at`, which moves behind it; false: it does not fit.
bool walk_record(const Wire& wire, size_t& at, RecordPlace& place);

// Do the names within the data (of the types we read) end where the data does?
bool names_fit(const Wire& wire, const RecordPlace& place);

}  // namespace ringmta::dns
