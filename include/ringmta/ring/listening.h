// SPDX-License-Identifier: GPL-3.0-or-later
// Sockets bound ahead of time: ports below 1024 are taken while the process still may, and listened
// on when there is somebody to answer. Until then connections are refused.
//
// The insight: who listens knows an address and need not know where its socket comes from. So those
// that are bound wait in a table of the process, and Io::listen() looks there first. Thread-safe.
#pragma once

#include <cstdint>

#include "ringmta/base/address.h"
#include "ringmta/base/result.h"

namespace ringmta::ring {

// `count` sockets for an address, one for each shard: they share it by SO_REUSEPORT. Fails when
// another program has it, which sharing would hide. An address with port 0 is left to listen().
Status bind_ahead(const SocketAddress& address, uint32_t count);

// One of them, the caller's from here on; -1: there is none (left).
int take_bound(const SocketAddress& address);

// A socket with a listener's options, bound to `address`.
Result<int> bind_listener(const SocketAddress& address, bool reuse_port);

}  // namespace ringmta::ring
