// SPDX-License-Identifier: GPL-3.0-or-later
// Loops cut, addresses filtered, the site's key made, the reason found where nothing is left.
#include "mx_route.h"

#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "siphash.h"

namespace ringmta::dns {
namespace {

// ::ffff:192.0.2.1 or ::192.0.2.1 in a AAAA record: no mail host has such an address (RFC 4291
// 2.5.5), and it would get around what is said about IPv4.
bool wraps_inet4(const SocketAddress& address) {
  if (address.family() != AF_INET6) return false;
  sockaddr_in6 inet{};
  std::memcpy(&inet, &address.storage, sizeof inet);
  return IN6_IS_ADDR_V4MAPPED(&inet.sin6_addr) || IN6_IS_ADDR_V4COMPAT(&inet.sin6_addr);
}

bool is_own(const FoundHost& host, const MxOptions& options) {
  const std::string name = host.name.text();
  const bool named =
      std::any_of(options.own_names.begin(), options.own_names.end(),
                  [&](const std::string& own) { return equals_ignoring_case(own, name); });
  return named || std::any_of(host.addresses.begin(), host.addresses.end(),
                              [&](const SocketAddress& address) {
                                return any_contains(options.own_addresses, address);
                              });
}

// RFC 5321 5.1: where we are among the hosts, only those preferred to us may be used.
bool cut_loop(std::vector<FoundHost>& hosts, const MxOptions& options) {
  uint32_t own_preference = UINT32_MAX;
  for (const FoundHost& host : hosts) {
    if (is_own(host, options)) own_preference = std::min<uint32_t>(own_preference, host.preference);
  }
  if (own_preference == UINT32_MAX) return false;
  std::erase_if(hosts, [&](const FoundHost& host) { return host.preference >= own_preference; });
  return true;
}

bool is_usable(const SocketAddress& address, const MxOptions& options) {
  return !wraps_inet4(address) && !any_contains(options.refused_addresses, address);
}

std::string key_of(const std::vector<FoundHost>& hosts) {
  std::string key;
  const FoundHost* last = nullptr;
  for (const FoundHost& host : hosts) {
    if (last != nullptr) key += host.preference == last->preference ? ',' : ';';
    key += host.name.text();
    last = &host;
  }
  return key;
}

// Servers give the records of a set in turn in another order, and either family may answer first:
// here they get one that is always the same, so that who compares sees what has changed.
void put_in_order(std::vector<SocketAddress>& addresses) {
  std::ranges::sort(addresses, [](const SocketAddress& a, const SocketAddress& b) {
    if (a.family() != b.family()) return a.family() == AF_INET6;
    return std::memcmp(&a.storage, &b.storage, a.length) < 0;
  });
}

// How many addresses were left out.
size_t filter_addresses(std::vector<FoundHost>& hosts, const MxOptions& options) {
  size_t left_out = 0;
  for (FoundHost& host : hosts) {
    left_out += std::erase_if(
        host.addresses, [&](const SocketAddress& address) { return !is_usable(address, options); });
    put_in_order(host.addresses);
  }
  return left_out;
}

// Of too many hosts the most preferred; those of the last preference among them by lot (RFC 5321
// 5.1: spread the load), which the name of this relay draws: many relays use all hosts, and each
// always the same ones, so that a site stays the same on all shards and from answer to answer.
void choose_among_equals(std::vector<FoundHost>& hosts, const MxOptions& options) {
  uint64_t seed = 0;
  for (const std::string& own : options.own_names) seed = siphash({seed, 1}, as_bytes(own));
  const auto lot = [&](const FoundHost& host) { return siphash({seed, 2}, host.name.wire()); };
  std::ranges::sort(hosts, [&](const FoundHost& a, const FoundHost& b) {
    return a.preference != b.preference ? a.preference < b.preference : lot(a) < lot(b);
  });
  hosts.erase(hosts.begin() + options.hosts_max, hosts.end());
}

}  // namespace

std::vector<FoundHost> usable_hosts(const RecordSet& mx, const MxOptions& options) {
  std::vector<FoundHost> hosts;
  RecordReader reader(mx.packed);
  while (const std::optional<Bytes> data = reader.next()) {
    const MxRecord record = read_mx(*data);
    if (record.host.is_hostname()) hosts.push_back({record.host, record.preference, {}});
  }
  const auto before = [](const FoundHost& a, const FoundHost& b) {
    return a.preference != b.preference ? a.preference < b.preference : a.name < b.name;
  };
  std::sort(hosts.begin(), hosts.end(), before);
  // A host named twice counts where it is preferred most.
  std::vector<FoundHost> usable;
  for (FoundHost& host : hosts) {
    const bool known = std::any_of(usable.begin(), usable.end(),
                                   [&](const FoundHost& other) { return other.name == host.name; });
    if (!known) usable.push_back(std::move(host));
  }
  if (usable.size() > options.hosts_max) {
    choose_among_equals(usable, options);
    std::sort(usable.begin(), usable.end(), before);
  }
  return usable;
}

bool is_null_mx(const RecordSet& mx) {
  RecordReader reader(mx.packed);
  std::optional<Bytes> data = reader.next();
  if (!data) return false;
  for (; data; data = reader.next()) {
    if (!read_mx(*data).host.is_root()) return false;
  }
  return true;
}

bool has_inet4(const FoundHost& host, const MxOptions& options) {
  return std::ranges::any_of(host.addresses, [&](const SocketAddress& address) {
    return address.family() == AF_INET && is_usable(address, options);
  });
}

void defer(MailRoute& route, Failure failure) {
  route.kind = MailRoute::Kind::deferred;
  route.status = kNobodyCouldSay;
  route.reason = fmt::format("the mail hosts of {} could not be found out: {}", route.domain,
                             to_text(failure));
}

void refuse(MailRoute& route, smtp::EnhancedStatus status, std::string reason) {
  route.kind = MailRoute::Kind::refused;
  route.status = status;
  route.reason = std::move(reason);
}

void settle(MailRoute& route, std::vector<FoundHost> hosts, bool implicit, Failure failure,
            const MxOptions& options) {
  const bool loop = cut_loop(hosts, options);
  if (hosts.empty() && loop) {
    refuse(route, kLoop,
           fmt::format("mail for {} would come back to this relay: it is itself the most preferred "
                       "mail host",
                       route.domain));
    return;
  }
  route.site_key = key_of(hosts);
  const size_t left_out = filter_addresses(hosts, options);
  for (FoundHost& host : hosts) {
    if (host.addresses.empty()) continue;
    route.hosts.push_back({host.name.text(), host.preference, std::move(host.addresses)});
  }
  if (!route.hosts.empty()) {
    route.kind = MailRoute::Kind::hosts;
  } else if (failure != Failure::none) {
    defer(route, failure);
  } else if (left_out > 0) {
    refuse(route, kNoRoute,
           fmt::format("{} has no mail host that could be reached: all addresses are loopback or "
                       "otherwise not those of a mail host",
                       route.domain));
  } else if (implicit) {
    refuse(route, kNoRoute,
           fmt::format("{} has neither mail hosts (MX) nor an address", route.domain));
  } else {
    refuse(route, kNoRoute,
           fmt::format("none of the mail hosts of {} has an address", route.domain));
  }
}

void settle_literal(MailRoute& route, std::string_view literal, const MxOptions& options) {
  route.domain = literal;
  std::string_view inner = literal;
  inner.remove_prefix(1);
  if (inner.ends_with(']')) inner.remove_suffix(1);
  constexpr std::string_view kTag = "IPv6:";
  const bool inet6 = equals_ignoring_case(inner.substr(0, kTag.size()), kTag);
  if (inet6) inner.remove_prefix(kTag.size());
  const Result<SocketAddress> address = parse_socket_address(inner, options.port);
  const bool good = literal.ends_with(']') && address &&
                    address->family() == (inet6 ? AF_INET6 : AF_INET) &&
                    inner.find_first_of(inet6 ? "[]" : ":[]") == std::string_view::npos;
  if (!good) {
    refuse(route, kBadDomain, fmt::format("{} is not a valid address literal", route.domain));
    return;
  }
  const std::string name = "[" + address->literal_text() + "]";
  if (any_contains(options.own_addresses, *address)) {
    refuse(route, kLoop, fmt::format("{} is this relay itself", name));
  } else if (!is_usable(*address, options)) {
    refuse(route, kNoRoute, fmt::format("{} is not the address of a mail host", name));
  } else {
    route.kind = MailRoute::Kind::hosts;
    route.hosts.push_back({name, 0, {*address}});
    route.site_key = name;
  }
}

}  // namespace ringmta::dns
