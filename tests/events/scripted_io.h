// SPDX-License-Identifier: GPL-3.0-or-later
// An Io of files only, whose clock and disk do as a test says: writes that end short, fail or take
// their time. Linked in place of the kernel's or the simulator's.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ringmta/ring/io.h"

namespace ringmta::ring {

struct ScriptedDisk {
  using Content = std::shared_ptr<std::string>;
  std::map<std::string, Content> files;
  std::deque<int32_t> writes;  // results to come: at most so many octets, or -errno; none: all
  bool refuse_to_open = false;
  // The one that the calls of ring/disk.h mean.
  static ScriptedDisk*& current() {
    static ScriptedDisk* disk = nullptr;
    return disk;
  }
  std::string& operator[](const std::string& path) {
    Content& content = files[path];
    if (content == nullptr) content = std::make_shared<std::string>();
    return *content;
  }
};

struct Io::Impl {
  struct Operation {
    ScriptedDisk::Content content;
    std::vector<iovec> parts;
    Token token;
    uint32_t file = 0;
  };
  struct OpenFile {
    ScriptedDisk::Content content;  // null: closed
    size_t in_flight = 0;
  };

  // What is asked for happens at the next turn().
  static void set_clock(Io& io, Monotonic now, WallTime wall) {
    io.now_ = now;
    io.wall_ = wall;
  }
  Event run(const Operation& operation);

  ScriptedDisk* disk = nullptr;  // set by the test
  std::vector<OpenFile> open;
  std::vector<Operation> asked;
  std::vector<Event> events;
  size_t writes_begun = 0;
};

}  // namespace ringmta::ring
