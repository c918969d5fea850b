// SPDX-License-Identifier: GPL-3.0-or-later
// In which order the addresses of one host are tried: the destination rules of RFC 6724 6, as a
// pure function of the address and of the addresses this machine has.
//
// The insight: each rule that can be decided without asking the routing table says something about
// one destination and the source it would be reached from (usable, same scope, same label,
// precedence, scope), so a destination has a rank, and sorting is comparing numbers. On a machine
// without an IPv6 address of global scope every IPv6 host ranks behind every IPv4 one; where there
// is one, native IPv6 comes first, 6to4 and Teredo after IPv4.
//
// Left out: rules 3, 4 and 7 need what only the system knows; rules 9 and 10 give way to the random
// choice among equals (RFC 6724 6 allows that, RFC 5321 5.1 asks for it). A route that is missing
// all the same is found out at once and costs nothing (opening.cc, is_unroutable()).
#pragma once

#include <cstdint>
#include <span>

#include "ringmta/base/address.h"

namespace ringmta::client {

// Lower is tried first; equal ones are as good as each other. `sources`: what connections may come
// from; empty: not known, then only the destination's own precedence counts.
uint32_t address_rank(const SocketAddress& destination, std::span<const SocketAddress> sources);

}  // namespace ringmta::client
