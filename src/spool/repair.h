// SPDX-License-Identifier: GPL-3.0-or-later
// What recovery does about what is damaged: it says so, keeps a copy of it, and leaves the segment
// in a state in which the next start finds nothing new.
//
// The insight: the last batch of a log that is not whole was in flight when the power went, and
// nobody was told that it was accepted: that is a torn tail and no damage. A batch after which
// others were written was acknowledged: if it is not whole, something was lost, and the operator
// must know.
//
// What a killed process was writing may be seen now, in the page cache, and still be lost when the
// power goes. Before anything is built on it (a message that was moved, a segment whose life
// ended), it is written once more, durably.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ringmta/spool/spool.h"
#include "scan.h"

namespace ringmta::spool {

// Up to where the batches of this segment's life were acknowledged, as another segment's first
// batch tells; 0: none does.
uint64_t acknowledged_end(const std::vector<Scan>& scans, const Scan& scan);

// Judges, reports and mends what the scans found damaged.
void repair(const std::string& directory, std::vector<Scan>& scans, Recovery::Report& report);

inline constexpr std::string_view kUnknown = "-unknown";  // ends the name of what is no segment

// Moves the file, which is no segment, out of recovery's sight; the sentence for the operator.
// `was_ours`: there was a segment of this name, so the name is kept.
std::string quarantine_file(const std::string& directory, const Scan& scan, bool was_ours);

}  // namespace ringmta::spool
