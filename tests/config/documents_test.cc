// SPDX-License-Identifier: GPL-3.0-or-later
// docs/configuration.md is what the table of keys gives, and docs/ringmta.example.toml is a
// configuration that can be run.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "../../src/config/key.h"
#include "machine.h"

namespace ringmta::config {
namespace {

std::string document(const std::string& name) {
  const char* root = std::getenv("RINGMTA_SOURCE");
  std::ifstream file(std::string(root != nullptr ? root : ".") + "/docs/" + name);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

TEST(Documents, ReferenceIsWhatTheTableGives) {
  EXPECT_EQ(document("configuration.md"), reference())
      << "write it anew: ringmta check --reference > docs/configuration.md";
}

TEST(Documents, ExampleIsAConfiguration) {
  const std::string example = document("ringmta.example.toml");
  ASSERT_FALSE(example.empty());
  EXPECT_EQ(all_texts(parse(example, "ringmta.example.toml", a_machine())), "");
}

TEST(Documents, EveryKeyHasAMeaningAndEverySectionKeys) {
  for (const Key& key : keys()) {
    EXPECT_TRUE(key.meaning.ends_with('.')) << key.path();
    EXPECT_NE(find_section(key.section), nullptr) << key.path();
    EXPECT_EQ(key.meaning.find('|'), std::string_view::npos) << key.path();
  }
  for (const Section& section : sections()) {
    const auto own = [&](const Key& key) { return key.section == section.name; };
    EXPECT_TRUE(std::any_of(keys().begin(), keys().end(), own)) << section.name;
  }
}

}  // namespace
}  // namespace ringmta::config
