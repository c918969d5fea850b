// SPDX-License-Identifier: GPL-3.0-or-later
// What the power-cut tests need to know of a spool, from outside of a relay.
//
//   spool_program list DIRECTORY
//     recovers the spool, reads every message, and prints a line for each: sender, octets and
//     CRC-32 of what begins with "X-Cut:". Findings of the recovery go to standard error.
//   spool_program write DIRECTORY MESSAGES [early] [buffered]
//     stores messages and prints a line like that, with the time, for each when it is committed;
//     `early`: when it is stored, which is the bug that the test must be able to see; `buffered`:
//     through the page cache.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <string_view>

#include "../spool/keeper.h"

namespace ringmta::spool {
namespace {

// The checksum of zlib, which the other side of the test has.
uint32_t crc32(std::string_view octets) {
  static const auto table = [] {
    std::array<uint32_t, 256> made{};
    for (uint32_t i = 0; i < made.size(); ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) * 0xEDB88320U);
      made[i] = value;
    }
    return made;
  }();
  uint32_t crc = UINT32_MAX;
  for (const char octet : octets) {
    crc = (crc >> 8) ^ table[(crc ^ static_cast<uint8_t>(octet)) & 0xFF];
  }
  return ~crc;
}

std::string line_of(const std::string& sender, std::string_view wire) {
  const size_t begin = wire.find("X-Cut:");
  if (begin != std::string_view::npos) wire.remove_prefix(begin);
  return sender + " " + std::to_string(wire.size()) + " " + std::to_string(crc32(wire));
}

SpoolOptions options_for(const char* directory) {
  SpoolOptions options;
  options.directory = directory;
  options.segment_size = 1'048'576;
  options.disk_reserve = 0;
  return options;
}

int list(const char* directory) {
  Keeper keeper(options_for(directory));
  if (!keeper.start()) {
    std::fprintf(stderr, "%s\n", keeper.error.c_str());
    return 1;
  }
  for (const std::string& finding : keeper.recovery->report().findings) {
    std::fprintf(stderr, "%s\n", finding.c_str());
  }
  for (const auto& [id, found] : keeper.found) {
    keeper.done.clear();
    keeper.spool->load(found.handle, 1);
    if (!keeper.drive([&] { return !keeper.done.empty(); }) ||
        keeper.done[0].what != Done::What::loaded) {
      std::fprintf(stderr, "%s cannot be read\n", found.sender.c_str());
      return 1;
    }
    std::printf("%s\n", line_of(found.sender, keeper.wire(found.handle)).c_str());
    keeper.spool->unpin(found.handle);
    keeper.spool->evict(found.handle);
  }
  return 0;
}

void tell(const Letter& letter) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  std::printf("%s %lld\n", line_of(letter.sender(), letter.wire()).c_str(),
              static_cast<long long>(now.tv_sec) * 1'000'000'000 + now.tv_nsec);
}

int write(const char* directory, uint64_t messages, bool early, bool buffered) {
  SpoolOptions options = options_for(directory);
  if (buffered) options.write_mode = WriteMode::buffered;
  Keeper keeper(options);
  if (!keeper.start()) {
    std::fprintf(stderr, "%s\n", keeper.error.c_str());
    return 1;
  }
  for (uint64_t number = 1; number <= messages; number += 4) {
    for (uint64_t i = 0; i < 4; ++i) {
      keeper.store({.number = number + i});
      if (early) tell({.number = number + i});
    }
    keeper.done.clear();
    if (!keeper.drive([&] { return keeper.done.size() >= 4; })) return 1;
    for (const Done& done : keeper.done) {
      if (done.what != Done::What::committed) return 1;
      if (!early) tell({.number = done.tag});
    }
  }
  return keeper.settle() ? 0 : 1;
}

}  // namespace
}  // namespace ringmta::spool

int main(int argc, char** argv) {
  const std::string_view mode = argc > 2 ? argv[1] : "";
  if (mode == "list") return ringmta::spool::list(argv[2]);
  if (mode == "write" && argc > 3) {
    const auto told = [&](std::string_view word) {
      return std::find(argv + 4, argv + argc, word) != argv + argc;
    };
    return ringmta::spool::write(argv[2], std::strtoull(argv[3], nullptr, 10), told("early"),
                                 told("buffered"));
  }
  std::fprintf(stderr,
               "spool_program list DIRECTORY | write DIRECTORY MESSAGES [early] [buffered]\n");
  return 2;
}
