// SPDX-License-Identifier: GPL-3.0-or-later
// Names, resolv.conf, addresses and networks as text: what is accepted can be written again and is
// the same, and what is said about the rest is fit to be shown.
#include <string>

#include "input.h"
#include "ringmta/base/address.h"
#include "ringmta/base/assert.h"
#include "ringmta/dns/name.h"
#include "ringmta/dns/resolv_conf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringmta;
  using namespace ringmta::dns;
  fuzz::Input input(data, size);
  const uint8_t kind = input.byte();
  const std::string_view text = input.rest();
  if (kind % 4 == 0) {
    const ResolvConf conf = parse_resolv_conf(text);
    RINGMTA_ASSERT(!conf.servers.empty() && conf.servers.size() <= kServersMax);
    for (const SocketAddress& server : conf.servers) {
      const Result<SocketAddress> again = parse_server(server.text());
      RINGMTA_ASSERT(again.has_value() && again->text() == server.text());
    }
  } else if (kind % 4 == 1) {
    if (const Result<Name> name = Name::parse(text)) {
      RINGMTA_ASSERT(*Name::parse(name->text()) == *name &&
                     *Name::from_wire(name->wire()) == *name);
      RINGMTA_ASSERT(name->is_hostname() && name->is_within(*name));
    }
    if (const auto name = Name::from_wire(as_bytes(text))) {
      for (const char c : name->text()) RINGMTA_ASSERT(c > ' ' && c <= '~');
      RINGMTA_ASSERT(name->wire().size() == text.size());
      if (name->is_hostname()) RINGMTA_ASSERT(*Name::parse(name->text()) == *name);
    }
  } else if (kind % 4 == 2) {
    const Result<Name> domain = mail_domain(text);
    if (domain) RINGMTA_ASSERT(domain->is_hostname());
    if (!domain) {
      for (const char c : domain.error().message) {
        RINGMTA_ASSERT(static_cast<unsigned char>(c) >= ' ' && c != 0x7F);
      }
    }
  } else {
    if (const Result<SocketAddress> address = parse_socket_address(text, 25)) {
      if (address->family() != AF_UNIX) {
        const Result<SocketAddress> again = parse_socket_address(address->text(), 26);
        // An IPv4-mapped address is shown as the IPv4 one it stands for.
        RINGMTA_ASSERT(again.has_value() && again->text() == address->text());
      }
    }
    if (const Result<Network> network = Network::parse(text)) {
      RINGMTA_ASSERT(Network::parse(network->text())->text() == network->text());
    }
  }
  return 0;
}
