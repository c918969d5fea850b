// SPDX-License-Identifier: GPL-3.0-or-later
// Which system calls the process may still make: a seccomp filter in two steps, by libseccomp.
//
// The insight: what a mail server needs after its start is little, and what breaks into one needs
// (a program to run, a way into other processes, a module to load) is none of it. Calls fall into
// three kinds:
//
//   those on the list     are made
//   those that only an intruder makes (execve, fork, ptrace, mount, bpf, setuid, ...)
//                         end the process at once, and the kernel's log says by which call. The
//                         mail is on disk, and the service manager starts the relay anew.
//   all others            fail with ENOSYS, as on an older kernel: libraries know what to do
//                         then, and a new one that tries a new call costs nothing
//
// io_uring's operations pass by seccomp. They are held to a list of their own, in the ring (see
// ring/io.h), and after the start no further ring can be made.
//
// The run-time of a sanitizer makes calls of its own (ptrace for leaks, programs for symbols), so
// builds with one have no filter, and say so.
#pragma once

#include <string_view>

#include "ringmta/base/result.h"

namespace ringmta::process {

// Empty: this build can have a filter. Else why not.
std::string_view why_no_system_call_filter();

// For this thread and those it makes. The thread must have no_new_privs.
Status filter_system_calls();
// For all threads there are, when all that listens does so: no further rings, no further listeners.
Status filter_serving();

}  // namespace ringmta::process
