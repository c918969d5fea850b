// SPDX-License-Identifier: GPL-3.0-or-later
// A directory for a spool, in the world that is linked: a fresh one per test.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "keeper.h"

#ifndef RINGMTA_SIMULATED
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#endif

namespace ringmta::spool {

class SpoolTest : public ::testing::Test {
 protected:
  void SetUp() override {
#ifdef RINGMTA_SIMULATED
    world = std::make_unique<sim::World>(world_options);
    directory = "/spool";
    ASSERT_TRUE(ring::disk::make_directory(directory));
#else
    alarm(120);
    std::string pattern = std::filesystem::temp_directory_path() / "ringmta-spool-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory = pattern;
#endif
    options.directory = directory;
    options.segment_size = 1'048'576;
    options.disk_reserve = 0;
  }
  void TearDown() override {
#ifndef RINGMTA_SIMULATED
    std::filesystem::remove_all(directory);
    alarm(0);
#endif
  }

#ifdef RINGMTA_SIMULATED
  sim::WorldOptions world_options;
  std::unique_ptr<sim::World> world;
#endif
  std::string directory;
  SpoolOptions options;
};

}  // namespace ringmta::spool
