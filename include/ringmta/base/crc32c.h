// SPDX-License-Identifier: GPL-3.0-or-later
// CRC32C (Castagnoli, RFC 3720 appendix B.4), the checksum of every spool record. Uses the SSE4.2
// instruction where the CPU has it, three streams at a time for long inputs; a table otherwise.
// `seed` chains calls.
#pragma once

#include <cstdint>

#include "ringmta/base/bytes.h"

namespace ringmta {

uint32_t crc32c(Bytes data, uint32_t seed = 0);
uint32_t crc32c_portable(Bytes data,
                         uint32_t seed = 0);  // the plain reference, for tests and old CPUs

}  // namespace ringmta
