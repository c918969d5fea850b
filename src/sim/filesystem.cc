// SPDX-License-Identifier: GPL-3.0-or-later
// Names, sectors, and the moment the power goes.
#include "filesystem.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ringmta::sim {
namespace {

std::vector<std::byte> sector_of(const File& file, uint64_t number) {
  std::vector<std::byte> sector(kSector);
  const uint64_t start = number * kSector;
  if (start < file.content.size()) {
    const uint64_t length = std::min<uint64_t>(kSector, file.content.size() - start);
    std::memcpy(sector.data(), file.content.data() + start, length);
  }
  return sector;
}

}  // namespace

FileSystem::FileSystem(uint64_t seed) : directories_{"/", ".", "/tmp"}, random_(seed) {}

std::string FileSystem::normal(const std::string& path) {
  std::string result;
  for (const char c : path) {
    if (c != '/' || result.empty() || result.back() != '/') result += c;
  }
  if (result.size() > 1 && result.back() == '/') result.pop_back();
  return result;
}

std::string FileSystem::parent_of(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

FilePointer FileSystem::find(const std::string& path) const {
  const auto found = names_.find(normal(path));
  return found == names_.end() ? nullptr : found->second;
}

bool FileSystem::is_directory(const std::string& path) const {
  return directories_.contains(normal(path));
}

FilePointer FileSystem::create(const std::string& path, int& code) {
  const std::string name = normal(path);
  if (const auto found = names_.find(name); found != names_.end()) return found->second;
  code = directories_.contains(name) ? EISDIR : ENOENT;
  if (code == EISDIR || !directories_.contains(parent_of(name))) return nullptr;
  code = 0;
  auto file = std::make_shared<File>();
  file->path = name;
  names_[name] = file;
  return file;
}

int FileSystem::make_directory(const std::string& path) {
  std::string missing = normal(path);
  std::vector<std::string> made;
  while (!directories_.contains(missing)) {
    if (names_.contains(missing)) return ENOTDIR;
    made.push_back(missing);
    missing = parent_of(missing);
  }
  directories_.insert(made.begin(), made.end());
  return 0;
}

std::vector<std::string> FileSystem::list(const std::string& path) const {
  const std::string name = normal(path);
  std::vector<std::string> result;
  const auto add = [&](const std::string& entry) {
    if (entry != name && parent_of(entry) == name) {
      result.push_back(entry.substr(entry.find_last_of('/') + 1));
    }
  };
  for (const auto& [entry, file] : names_) add(entry);
  for (const std::string& entry : directories_) {
    if (entry != ".") add(entry);
  }
  std::sort(result.begin(), result.end());
  return result;
}

int FileSystem::rename(const std::string& from, const std::string& to) {
  const auto source = names_.find(normal(from));
  if (source == names_.end()) return ENOENT;
  const std::string target = normal(to);
  if (directories_.contains(target)) return EISDIR;
  if (!directories_.contains(parent_of(target))) return ENOENT;
  FilePointer file = source->second;
  if (target == source->first) return 0;
  names_.erase(source);
  if (const auto replaced = names_.find(target); replaced != names_.end()) {
    replaced->second->path.clear();
  }
  file->path = target;
  names_[target] = std::move(file);
  return 0;
}

int FileSystem::remove(const std::string& path) {
  const auto found = names_.find(normal(path));
  if (found == names_.end()) return directories_.contains(normal(path)) ? EISDIR : ENOENT;
  found->second->path.clear();
  names_.erase(found);
  return 0;
}

void FileSystem::sync_directory_of(const std::string& path) {
  const std::string directory = parent_of(normal(path));
  std::erase_if(stored_names_,
                [&](const auto& entry) { return parent_of(entry.first) == directory; });
  for (const auto& [name, file] : names_) {
    if (parent_of(name) == directory) stored_names_[name] = file;
  }
}

void FileSystem::store_name(File& file) {
  if (file.path.empty()) return;
  const auto found = names_.find(file.path);
  if (found != names_.end() && found->second.get() == &file) {
    stored_names_.try_emplace(file.path, found->second);
  }
}

void FileSystem::spoil(File& file, uint64_t offset, uint64_t length) {
  if (length == 0) return;
  for (uint64_t number = offset / kSector; number <= (offset + length - 1) / kSector; ++number) {
    const auto [found, is_new] = file.stale.try_emplace(number);
    if (is_new || random_.below(2) == 0) found->second.stored = sector_of(file, number);
    found->second.doomed = false;
  }
}

uint64_t FileSystem::write(File& file, uint64_t offset, Bytes data, uint64_t capacity) {
  const uint64_t size = file.content.size();
  uint64_t length = data.size();
  if (offset + length > size) {
    const uint64_t used = octets_used();
    const uint64_t room = capacity > used ? capacity - used : 0;
    const uint64_t growth = offset + length - size;
    if (growth > room) {
      const uint64_t end = size + room;
      if (end <= offset) return 0;
      length = end - offset;
    }
  }
  spoil(file, offset, length);
  if (offset + length > size) file.content.resize(offset + length);
  if (length > 0) std::memcpy(file.content.data() + offset, data.data(), length);
  return length;
}

bool FileSystem::allocate(File& file, uint64_t size, uint64_t capacity) {
  if (size <= file.content.size()) return true;
  const uint64_t used = octets_used();
  if (used > capacity || size - file.content.size() > capacity - used) return false;
  file.content.resize(size);
  return true;
}

void FileSystem::sync_range(File& file, uint64_t offset, uint64_t length) {
  if (length == 0) return;
  const auto end = file.stale.upper_bound((offset + length - 1) / kSector);
  for (auto sector = file.stale.lower_bound(offset / kSector); sector != end;) {
    sector = sector->second.doomed ? std::next(sector) : file.stale.erase(sector);
  }
  file.stored_size = std::max(file.stored_size, offset + length);
  store_name(file);
}

void FileSystem::sync(File& file) {
  std::erase_if(file.stale, [](const auto& entry) { return !entry.second.doomed; });
  file.stored_size = file.content.size();
  store_name(file);
}

void FileSystem::fail_sync(File& file) {
  for (auto& [number, sector] : file.stale) sector.doomed = true;
}

void FileSystem::power_failure(Prng& random, std::map<std::string_view, uint64_t>& struck) {
  std::map<std::string, FilePointer> after;
  std::set<std::string> names;
  for (const auto& [name, file] : names_) names.insert(name);
  for (const auto& [name, file] : stored_names_) names.insert(name);
  for (const std::string& name : names) {
    const auto seen = names_.find(name);
    const auto stored = stored_names_.find(name);
    const FilePointer now = seen == names_.end() ? nullptr : seen->second;
    const FilePointer before = stored == stored_names_.end() ? nullptr : stored->second;
    const FilePointer kept = now == before || random.below(2) == 0 ? now : before;
    if (kept != nullptr) after[name] = kept;
  }
  std::set<File*> done;
  for (const auto& [name, pointer] : after) {
    File& file = *pointer;
    file.path = name;
    if (!done.insert(&file).second) continue;
    for (const auto& [number, sector] : file.stale) {
      if (!sector.doomed && random.below(2) == 0) {
        ++struck["an unsynced sector kept"];
        continue;
      }
      ++struck["an unsynced sector lost"];
      const uint64_t start = number * kSector;
      if (start >= file.content.size()) continue;
      const uint64_t length = std::min<uint64_t>(kSector, file.content.size() - start);
      std::memcpy(file.content.data() + start, sector.stored.data(), length);
    }
    file.stale.clear();
    if (file.content.size() != file.stored_size && random.below(2) == 0) {
      file.content.resize(file.stored_size);
    }
    file.stored_size = file.content.size();
  }
  names_ = after;
  stored_names_ = std::move(after);
}

uint64_t FileSystem::octets_used() const {
  uint64_t used = 0;
  for (const auto& [name, file] : names_) used += file->content.size();
  return used;
}

}  // namespace ringmta::sim
