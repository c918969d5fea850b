// SPDX-License-Identifier: GPL-3.0-or-later
// A World with one Io on it that the test turns itself: for tests of the disk and of time.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "ringmta/ring/disk.h"
#include "ringmta/ring/io.h"
#include "ringmta/sim/world.h"

namespace ringmta::sim {

class Machine {
 public:
  explicit Machine(const WorldOptions& options = {}) : world(options) {
    EXPECT_TRUE(ring::disk::make_directory("/spool"));
    start();
  }

  void start() {
    io.reset();
    Result<std::unique_ptr<ring::Io>> made = ring::Io::create({});
    EXPECT_TRUE(made.has_value());
    io = std::move(*made);
    results.clear();
  }
  void crash(Crash kind) {
    ring::Io* dead[] = {io.get()};
    world.crash(dead, kind);
    start();
  }

  ring::FileId open(const std::string& path, ring::OpenMode mode = ring::OpenMode::write) {
    Result<ring::FileId> file = io->open_file(path, mode);
    EXPECT_TRUE(file.has_value()) << file.error().message;
    return file.value_or(ring::FileId{});
  }
  // Begins a write; the text must live until its result is in.
  void begin_write(ring::FileId file, std::string_view text, uint64_t offset,
                   ring::Durability durability) {
    const iovec part{const_cast<char*>(text.data()), text.size()};
    io->write_file(file, {&part, 1}, offset, durability, {});
  }
  int32_t write(ring::FileId file, std::string_view text, uint64_t offset,
                ring::Durability durability) {
    begin_write(file, text, offset, durability);
    return result();
  }
  int32_t sync(ring::FileId file) {
    io->sync_file(file, {});
    return result();
  }
  int32_t read(ring::FileId file, std::string& into, uint64_t offset) {
    io->read_file(file, {reinterpret_cast<std::byte*>(into.data()), into.size()}, offset, {});
    return result();
  }
  // Of the next file operation to end.
  int32_t result() {
    while (results.empty()) {
      for (const ring::Event& event : io->turn(Monotonic::never())) {
        if (event.kind == ring::EventKind::file_done) results.push_back(event.result);
      }
      if (results.empty() && !world.advance()) {
        ADD_FAILURE() << "no file operation in flight";
        return INT32_MIN;
      }
    }
    const int32_t first = results.front();
    results.erase(results.begin());
    return first;
  }
  std::string content(const std::string& path) {
    Result<std::vector<std::byte>> data = ring::disk::read(path, 0, UINT64_MAX);
    return data ? std::string(as_text(*data)) : "(no such file)";
  }

  World world;
  std::unique_ptr<ring::Io> io;
  std::vector<int32_t> results;
};

}  // namespace ringmta::sim
