// SPDX-License-Identifier: GPL-3.0-or-later
// docs/cli.md knows every command and every option, and no other.
#include <gtest/gtest.h>

#include <cstdlib>
#include <regex>
#include <set>

#include "console.h"

namespace ringmta::cli {
namespace {

std::string document() {
  const char* root = std::getenv("RINGMTA_SOURCE");
  std::ifstream file(std::string(root != nullptr ? root : ".") + "/docs/cli.md");
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

const std::vector<std::vector<std::string>> kCommands = {
    {"serve"},         {"check"},          {"status"},          {"top"},  {"queue", "list"},
    {"queue", "show"}, {"queue", "retry"}, {"queue", "remove"}, {"send"}, {"password"},
    {"dkim", "key"},   {"dkim", "check"},  {"version"}};

// Long options in `text`.
std::set<std::string> options_in(const std::string& text) {
  static const std::regex kOption("(^|[^-a-z])(--[a-z][-a-z]*)");
  std::set<std::string> options;
  for (std::sregex_iterator it(text.begin(), text.end(), kOption), end; it != end; ++it) {
    options.insert((*it)[2]);
  }
  return options;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text = "ringmta";
  for (const std::string& word : words) text += " " + word;
  return text;
}

// The part of the document under the command's heading.
std::string section_of(const std::string& page, const std::string& command) {
  const size_t begin = page.find("\n## " + command + "\n");
  if (begin == std::string::npos) return {};
  return page.substr(begin, page.find("\n## ", begin + 1) - begin);
}

TEST(Documents, EachCommandHasItsSectionWithItsOptions) {
  const std::string page = document();
  const std::set<std::string> preface = options_in(page.substr(0, page.find("\n## ")));
  std::set<std::string> known{"--help"};
  for (const auto& words : kCommands) {
    std::vector<std::string> asking = words;
    asking.push_back("--help");
    const std::set<std::string> options = options_in(run_words(asking).out);
    known.insert(options.begin(), options.end());
    const std::string section = section_of(page, joined(words));
    ASSERT_FALSE(section.empty()) << joined(words) << " has no section";
    const std::set<std::string> told = options_in(section);
    for (const std::string& option : options) {
      EXPECT_TRUE(told.contains(option) || preface.contains(option))  // told once for all
          << joined(words) << " " << option;
    }
  }
  for (const std::string& option : options_in(page)) {
    EXPECT_TRUE(known.contains(option)) << option << " is in the document only";
  }
}

TEST(Documents, ExitStatusesAreListed) {
  const std::string page = document();
  for (const int status : {kDone, kFailed, kMistake, kUnreachable, kTryAgain}) {
    EXPECT_NE(page.find("| " + std::to_string(status) + " | "), std::string::npos) << status;
  }
}

}  // namespace
}  // namespace ringmta::cli
