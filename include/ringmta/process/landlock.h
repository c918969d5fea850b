// SPDX-License-Identifier: GPL-3.0-or-later
// What of the file system the process can still reach: Landlock (landlock(7)), where the kernel
// has it. It holds for everything that opens a file, io_uring's operations too, and for every
// thread that the calling one makes; it cannot be taken back.
//
// The insight: a rule is about a file as it is now (an inode), not about a name. Programs replace
// files (certificates, resolv.conf, the configuration) by others of the same name, so rules name
// the directories that they lie in, both that of the name and that of what it links to.
#pragma once

#include <string>
#include <vector>

#include "ringmta/base/result.h"

namespace ringmta::process {

struct FileRules {
  std::vector<std::string> read;   // files, and directories with all below them
  std::vector<std::string> write;  // directories: what is below is read, made, changed and removed
};

// The version of its interface that the kernel offers; 0: none. Above 3 TCP ports are ruled too.
int landlock_abi();

// From now on this thread can open nothing else. Names that do not exist are left out: what is
// made under them later is out of reach. With ABI 4 or later no TCP port can be bound to but one
// of the kernel's choice; with 6 or later no process outside can be sent a signal.
// The thread must have no_new_privs. The version that is in force.
Result<int> restrict_files(const FileRules& rules);

// Directories from which a name can be opened though it is replaced: its own, and that of what it
// links to. A name in / stands for itself.
std::vector<std::string> directories_of(const std::string& file);

}  // namespace ringmta::process
