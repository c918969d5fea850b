// SPDX-License-Identifier: GPL-3.0-or-later
// The faults that the simulator promises (docs/simulation.md): one that no run meets any more tests
// nothing, and nobody would notice.
#include "simulation.h"

namespace ringmta::simulation {

namespace {

constexpr const char* kFaults[] = {
    // network
    "segments of a few octets",
    "a connection reset",
    "a half-closed connection",
    "a send ends short",
    "a datagram lost",
    "a datagram doubled",
    "a client vanishes in the middle of a message",
    // ring
    "no receive buffer",
    "the completion queue overflows",
    "a send in flight is cancelled late",
    // disk
    "a file operation fails",
    "a file operation ends short",
    "a file operation stalls",
    "the disk is full",
    "an unsynced sector kept",
    "an unsynced sector lost",
    "a wrong bit is read",
    "a stored bit rots",
    // crashes, clock
    "the process dies",
    "the power fails",
    "the clock is set back",
    "the clock is set forward",
    // DNS
    "SERVFAIL",
    "a name server is silent",
    "no name server for long",
    "a lie of the DNS",
    // hosts
    "a storm of 4xx",
    "a storm of 5xx",
    "a storm of 421",
    "a recipient is grey listed",
    "a host falls silent",
    "a host takes more than a minute for a reply",
    "a host takes no more connections",
    "a host drops the line at connect",
    "a host drops the line at EHLO",
    "a host drops the line at MAIL",
    "a host drops the line at RCPT",
    "a host drops the line at DATA",
    "a host drops the line within a content",
    "a host drops the line at the final dot",
    "a host drops the line at QUIT",
    "a host takes a message and its 250 is lost",
    "no host for long",
};

}  // namespace

std::vector<std::string> faults_missing(const std::map<std::string, uint64_t>& struck) {
  std::vector<std::string> missing;
  for (const char* fault : kFaults) {
    if (!struck.contains(fault)) missing.emplace_back(fault);
  }
  return missing;
}

}  // namespace ringmta::simulation
