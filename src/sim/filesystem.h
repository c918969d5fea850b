// SPDX-License-Identifier: GPL-3.0-or-later
// A file system in memory that knows what a power failure would leave of it.
//
// The insight: a file is what programs see (`content`) plus, for every sector that stable storage
// does not have yet, what stable storage has instead (`stale`). A sync forgets stale sectors, a
// crash flips a coin for each. The cost is that of what is dirty, not of what is stored.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/base/bytes.h"
#include "ringmta/base/prng.h"
#include "ringmta/base/result.h"

namespace ringmta::sim {

inline constexpr uint64_t kSector = 512;

struct StaleSector {
  std::vector<std::byte> stored;  // what stable storage holds, kSector octets
  bool doomed = false;            // a sync of it failed: no later sync brings it back
};

struct File {
  std::vector<std::byte> content;
  uint64_t stored_size = 0;  // as stable storage knows it
  std::map<uint64_t, StaleSector> stale;
  std::string path;  // its name now; empty when it has none
};

using FilePointer = std::shared_ptr<File>;

class FileSystem final {
 public:
  explicit FileSystem(uint64_t seed);

  FilePointer find(const std::string& path) const;
  bool is_directory(const std::string& path) const;
  // Made when absent; null with `code` set when its directory is missing or it is one.
  FilePointer create(const std::string& path, int& code);
  int make_directory(const std::string& path);  // 0 or an errno; parents are made too
  std::vector<std::string> list(const std::string& path) const;
  int rename(const std::string& from, const std::string& to);
  int remove(const std::string& path);
  // What these names are now is what they are after a crash.
  void sync_directory_of(const std::string& path);

  // Octets written, less than data.size() when `capacity` is reached.
  uint64_t write(File& file, uint64_t offset, Bytes data, uint64_t capacity);
  bool allocate(File& file, uint64_t size, uint64_t capacity);
  void sync_range(File& file, uint64_t offset, uint64_t length);  // as RWF_DSYNC does
  void sync(File& file);
  void fail_sync(File& file);

  // Counts in `struck` what became of unsynced sectors.
  void power_failure(Prng& random, std::map<std::string_view, uint64_t>& struck);
  uint64_t octets_used() const;
  std::set<std::string>& locks() { return locks_; }

  static std::string normal(const std::string& path);  // no doubled or closing slashes
  static std::string parent_of(const std::string& path);

 private:
  void store_name(File& file);
  void spoil(File& file, uint64_t offset, uint64_t length);

  std::map<std::string, FilePointer> names_;
  std::map<std::string, FilePointer> stored_names_;
  std::set<std::string> directories_;
  std::set<std::string> locks_;
  Prng random_;  // what is written back before anybody asks
};

}  // namespace ringmta::sim
