// SPDX-License-Identifier: GPL-3.0-or-later
// Bounds of names and records (RFC 1035 3.1, 4.1.3, 4.1.4).
#include "walk.h"

#include "ldns_all.h"
#include "ringmta/dns/name.h"

namespace ringmta::dns {
namespace {

constexpr size_t kPointersMax = 32;  // compression pointers followed in one name

}  // namespace

bool skip_name(const Wire& wire, size_t& at) {
  size_t octets = 0;
  size_t here = at;
  size_t run = at;  // where the current run of labels began: a pointer must point before it
  size_t pointers = 0;
  bool jumped = false;
  for (;;) {
    if (here >= wire.size) return false;
    const uint8_t label = wire.data[here];
    if (label == 0) break;
    if ((label & 0xC0) == 0xC0) {
      if (here + 2 > wire.size || ++pointers > kPointersMax) return false;
      const size_t target = wire.word(here) & 0x3FFF;
      if (target >= run) return false;
      if (!jumped) at = here + 2;
      jumped = true;
      here = run = target;
      continue;
    }
    if ((label & 0xC0) != 0) return false;
    octets += 1U + label;
    here += 1U + label;
    if (octets + 1 > Name::kOctetsMax) return false;
  }
  if (!jumped) at = here + 1;
  return true;
}

bool walk_record(const Wire& wire, size_t& at, RecordPlace& place) {
  place.begin = at;
  if (!skip_name(wire, at) || wire.size - at < 10) return false;
  place.type = wire.word(at);
  place.klass = wire.word(at + 2);
  place.data = at + 10;
  place.end = place.data + wire.word(at + 8);
  at = place.end;
  return place.end <= wire.size;
}

bool names_fit(const Wire& wire, const RecordPlace& place) {
  size_t at = place.data;
  switch (place.type) {
    case LDNS_RR_TYPE_A:
      return place.end - at == 4;
    case LDNS_RR_TYPE_AAAA:
      return place.end - at == 16;
    case LDNS_RR_TYPE_MX:
      at += 2;
      return at < place.end && skip_name(wire, at) && at == place.end;
    case LDNS_RR_TYPE_TXT:  // strings, each with its length in front: one at least
      if (at == place.end) return false;
      while (at < place.end) at += 1U + wire.data[at];
      return at == place.end;
    case LDNS_RR_TYPE_CNAME:
      return at < place.end && skip_name(wire, at) && at == place.end;
    case LDNS_RR_TYPE_SOA:
      return at < place.end && skip_name(wire, at) && at < place.end && skip_name(wire, at) &&
             at + 20 == place.end;
    default:
      return false;
  }
}

}  // namespace ringmta::dns
