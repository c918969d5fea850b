// SPDX-License-Identifier: GPL-3.0-or-later
// What the hosts found come to: a pure function from records to a MailRoute.
#pragma once

#include <vector>

#include "ringmta/dns/mx.h"

namespace ringmta::dns {

// A host as the MX records name it, with what its own records said.
struct FoundHost {
  Name name;
  uint16_t preference = 0;
  std::vector<SocketAddress> addresses;
};

// Sorts by preference and name, leaves out doubles, names that are no host names, and what is
// beyond hosts_max (among equals: by lot).
std::vector<FoundHost> usable_hosts(const RecordSet& mx, const MxOptions& options);

// "MX 0 ." and nothing else (RFC 7505), however often it was sent.
bool is_null_mx(const RecordSet& mx);

// An IPv4 address to which mail may go.
bool has_inet4(const FoundHost& host, const MxOptions& options);

// `failure`: what went wrong with some of the addresses, or none.
void settle(MailRoute& route, std::vector<FoundHost> hosts, bool implicit, Failure failure,
            const MxOptions& options);

// A domain literal, "[192.0.2.1]" (RFC 5321 4.1.3).
void settle_literal(MailRoute& route, std::string_view literal, const MxOptions& options);

void defer(MailRoute& route, Failure failure);
void refuse(MailRoute& route, smtp::EnhancedStatus status, std::string reason);

inline constexpr smtp::EnhancedStatus kNullMx{5, 1, 10};
inline constexpr smtp::EnhancedStatus kNoSuchDomain{5, 1, 2};
inline constexpr smtp::EnhancedStatus kBadDomain{5, 1, 3};
inline constexpr smtp::EnhancedStatus kNoRoute{5, 4, 4};
inline constexpr smtp::EnhancedStatus kLoop{5, 4, 6};
inline constexpr smtp::EnhancedStatus kNobodyCouldSay{4, 4, 3};

}  // namespace ringmta::dns
