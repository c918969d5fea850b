// SPDX-License-Identifier: GPL-3.0-or-later
// What a question to the DNS comes to: a fate, and with `found` a set of records in packed form
// (for each record two octets of length, little-endian, then its data, names uncompressed and in
// lower case). The same bytes are what the parser made, what the cache keeps and what a caller
// reads.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "ringmta/base/address.h"
#include "ringmta/base/assert.h"
#include "ringmta/base/bytes.h"
#include "ringmta/base/time.h"
#include "ringmta/dns/name.h"

namespace ringmta::dns {

enum class RecordType : uint16_t { a = 1, mx = 15, txt = 16, aaaa = 28 };
std::string_view to_text(RecordType type);

enum class Fate : uint8_t {
  found,
  no_data,       // the name exists, records of this type do not (RFC 2308 2.2)
  no_such_name,  // NXDOMAIN (RFC 2308 2.1)
  failed         // nobody could say: temporary
};

// Why nobody could say.
enum class Failure : uint8_t {
  none,
  timed_out,    // no server answered in time
  unreachable,  // no server could be reached
  refused,      // SERVFAIL, REFUSED and other errors told by the servers
  malformed,    // answers that make no sense, or are larger than anything sensible
  alias_loop,   // a chain of CNAMEs that is too long or ends nowhere
  overloaded    // too many questions at once; not cached
};
std::string_view to_text(Failure failure);

struct RecordSet {
  Fate fate = Fate::failed;
  Failure failure = Failure::none;
  RecordType type = RecordType::a;
  uint16_t count = 0;
  Bytes packed{};
  Monotonic expires{};  // for how long this may be believed
};

// Goes through the records of a set.
class RecordReader final {
 public:
  explicit RecordReader(Bytes packed) : rest_(packed) {}
  // The next record's data; nothing at the end.
  std::optional<Bytes> next() {
    if (rest_.size() < 2) return std::nullopt;
    const auto length = load<uint16_t>(rest_.data());
    RINGMTA_ASSERT(rest_.size() >= 2U + length);
    const Bytes data = rest_.subspan(2, length);
    rest_ = rest_.subspan(2U + length);
    return data;
  }

 private:
  Bytes rest_;
};

struct MxRecord {
  uint16_t preference = 0;
  Name host;  // the root: a null MX (RFC 7505)
};
MxRecord read_mx(Bytes data);
SocketAddress read_address(RecordType type, Bytes data, uint16_t port);

}  // namespace ringmta::dns
