// SPDX-License-Identifier: GPL-3.0-or-later
// Whom the process runs as, and how it stops being root for good.
//
// The insight: everything that a thread may do is inherited by the threads it makes, and only that
// is simple. So rights are given up while there is one thread, before the first octet comes from
// outside; no ring, no kernel worker and no thread has ever been made by root.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "ringmta/base/result.h"

namespace ringmta::process {

struct Identity {
  std::string user;  // its name
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // those of the user in the group database, `gid` among them
};

bool is_root();
Identity current_identity();

// By names of the user and group databases; an empty group: the user's own. The error tells how to
// make a user that is not there.
Result<Identity> find_identity(const std::string& user, const std::string& group);

// Takes it on, for good: supplementary groups, then group, then user (real, effective, saved).
// Without a change when it is what the process is already. Single-threaded only.
Status become(const Identity& identity);

// No capability is left in any set, and none comes back by execve(2). Single-threaded only.
Status give_up_capabilities();
// execve(2) grants nothing any more (PR_SET_NO_NEW_PRIVS).
Status forbid_new_privileges();
// Whether a core dump may be written, and whether processes of the same user may look into this
// one's memory (PR_SET_DUMPABLE).
void allow_core_dumps(bool allowed);

// Which of `files` `identity` could not read; asks as that user, in a process of its own. For the
// user that this process is: asks at once.
std::vector<std::string> unreadable_files(const Identity& identity,
                                          const std::vector<std::string>& files);

}  // namespace ringmta::process
