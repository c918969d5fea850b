// SPDX-License-Identifier: GPL-3.0-or-later
// The blocking half of the seam: the few file-system calls needed before a shard runs or after it
// stopped (recovery, directories, recycling names). Implemented by the kernel's side and by the
// simulator's, like io.h. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ringmta/base/bytes.h"
#include "ringmta/base/result.h"

namespace ringmta::ring::disk {

Status make_directory(
    const std::string& path);  // with its parents, mode 0700; fine when it is there
Result<std::vector<std::string>> list(
    const std::string& path);  // names of the entries, sorted, without . and ..
Result<std::vector<std::byte>> read(const std::string& path, uint64_t offset,
                                    uint64_t length);  // short at the end
Result<uint64_t> size(const std::string& path);
Status write(const std::string& path,
             Bytes data);  // replaces the file, durable with its name (temp, fsync, rename)
Status overwrite(const std::string& path, uint64_t offset, Bytes data);  // in place, durable
Status remove(const std::string& path);
Status rename(const std::string& from, const std::string& to);  // durable
Result<uint64_t> free_bytes(const std::string& path);
// Takes the directory for this process (flock on DIR/lock); held until the process ends.
Status lock_directory(const std::string& path);

}  // namespace ringmta::ring::disk
