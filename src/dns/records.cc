// SPDX-License-Identifier: GPL-3.0-or-later
// Reading packed records. They were checked when they were packed; what does not fit is a bug.
#include "ringmta/dns/records.h"

#include <netinet/in.h>

namespace ringmta::dns {

std::string_view to_text(RecordType type) {
  switch (type) {
    case RecordType::a:
      return "A";
    case RecordType::mx:
      return "MX";
    case RecordType::txt:
      return "TXT";
    case RecordType::aaaa:
      return "AAAA";
  }
  return "?";
}

std::string_view to_text(Failure failure) {
  switch (failure) {
    case Failure::none:
      return "nothing failed";
    case Failure::timed_out:
      return "no DNS server answered in time";
    case Failure::unreachable:
      return "no DNS server could be reached";
    case Failure::refused:
      return "the DNS servers answered with an error";
    case Failure::malformed:
      return "the DNS servers' answers could not be used";
    case Failure::alias_loop:
      return "the aliases (CNAME) lead nowhere";
    case Failure::overloaded:
      return "too many DNS questions at once";
  }
  return "?";
}

MxRecord read_mx(Bytes data) {
  RINGMTA_ASSERT(data.size() > 2);
  MxRecord record;
  record.preference = load<uint16_t>(data.data());
  const std::optional<Name> host = Name::from_wire(data.subspan(2));
  RINGMTA_ASSERT(host.has_value());
  record.host = *host;
  return record;
}

SocketAddress read_address(RecordType type, Bytes data, uint16_t port) {
  SocketAddress address;
  if (type == RecordType::a) {
    sockaddr_in inet{};
    RINGMTA_ASSERT(data.size() == sizeof inet.sin_addr);
    inet.sin_family = AF_INET;
    std::memcpy(&inet.sin_addr, data.data(), data.size());
    std::memcpy(&address.storage, &inet, sizeof inet);
    address.length = sizeof inet;
  } else {
    sockaddr_in6 inet{};
    RINGMTA_ASSERT(type == RecordType::aaaa && data.size() == sizeof inet.sin6_addr);
    inet.sin6_family = AF_INET6;
    std::memcpy(&inet.sin6_addr, data.data(), data.size());
    std::memcpy(&address.storage, &inet, sizeof inet);
    address.length = sizeof inet;
  }
  address.set_port(port);
  return address;
}

}  // namespace ringmta::dns
