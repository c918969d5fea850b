// SPDX-License-Identifier: GPL-3.0-or-later
// `ringmta password`: entries that let the right password in, and files that stay whole.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "console.h"
#include "ringmta/sasl/users.h"

namespace ringmta::cli {
namespace {

std::string content(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

bool lets_in(const std::string& file, std::string_view name, std::string_view password) {
  std::vector<sasl::UserFault> faults;
  const auto users = sasl::Users::parse(file, faults);
  const sasl::User* user = users != nullptr ? users->find(name) : nullptr;
  return user != nullptr && sasl::verify_password(password, user->verifier);
}

TEST(Password, IsPrintedAsAnEntry) {
  const Ran ran = run_words({"password", "ann", "--iterations", "4096"}, "pencil\r\nrest");
  EXPECT_EQ(ran.status, kDone) << ran.err;
  EXPECT_TRUE(lets_in(ran.out, "ann", "pencil"));
  EXPECT_FALSE(lets_in(ran.out, "ann", "pencil "));
  EXPECT_EQ(ran.out.find("pencil"), std::string::npos);
  const Ran again = run_words({"password", "ann", "--iterations", "4096"}, "pencil\n");
  EXPECT_NE(again.out, ran.out) << "the salt is the same";
}

TEST(Password, GoesIntoAFile) {
  const Directory directory;
  const std::string path = directory.path("users");
  const auto put = [&](const char* name, const char* password) {
    return run_words({"password", name, "--file", path, "--iterations", "4096"}, password).status;
  };
  EXPECT_EQ(put("ann", "one\n"), kDone);
  struct stat facts{};
  ASSERT_EQ(stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777U, 0640U);
  EXPECT_EQ(put("bob", "two\n"), kDone);
  EXPECT_EQ(put("ann", "three\n"), kDone);
  EXPECT_TRUE(lets_in(content(path), "ann", "three"));
  EXPECT_FALSE(lets_in(content(path), "ann", "one"));
  EXPECT_TRUE(lets_in(content(path), "bob", "two"));
}

TEST(Password, ABadFileIsLeftAlone) {
  const Directory directory;
  const std::string path = directory.write("users", "nonsense\n");
  const Ran ran = run_words({"password", "ann", "--file", path, "--iterations", "4096"}, "x\n");
  EXPECT_EQ(ran.status, kFailed);
  EXPECT_NE(ran.err.find("users:1: "), std::string::npos) << ran.err;
  EXPECT_EQ(content(path), "nonsense\n");
}

TEST(Password, Mistakes) {
  for (const char* name : {"a:b", "#a", ""}) {
    EXPECT_EQ(run_words({"password", name}, "x\n").status, kMistake) << name;
  }
  EXPECT_EQ(run_words({"password", "ann"}, "\n").status, kMistake);
  EXPECT_EQ(run_words({"password", "ann"}, "a\x07\n").status, kMistake);
  EXPECT_EQ(run_words({"password", "ann", "--iterations", "1000"}, "x\n").status, kMistake);
}

}  // namespace
}  // namespace ringmta::cli
