// SPDX-License-Identifier: GPL-3.0-or-later
// Becoming somebody else, for good, and giving up what root may.
#include "ringmta/process/identity.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "child.h"

namespace ringmta::process {
namespace {

namespace fs = std::filesystem;

// The values of a line of /proc/self/status.
std::string status_of(const std::string& name) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name + ":")) return line.substr(name.size() + 2);
  }
  return "no such line";
}

// What differs from the wanted lines, by exit status.
int compare(const std::vector<std::pair<std::string, std::string>>& wanted) {
  for (size_t i = 0; i < wanted.size(); ++i) {
    const std::string got = status_of(wanted[i].first);
    if (got == wanted[i].second) continue;
    std::fprintf(stderr, "%s is '%s', not '%s'\n", wanted[i].first.c_str(), got.c_str(),
                 wanted[i].second.c_str());
    return static_cast<int>(i) + 1;
  }
  return 0;
}

constexpr const char* kNone = "0000000000000000";

TEST(Identity, AUserThatIsNotThereIsToldWithTheRemedy) {
  const auto found = find_identity("ringmta-nobody-has-this-name", "");
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().message.find("useradd --system"), std::string::npos)
      << found.error().message;
  EXPECT_FALSE(find_identity("root", "ringmta-no-such-group"));
}

TEST(Identity, AUserIsFoundWithItsGroups) {
  const auto nobody = find_identity("nobody", "");
  ASSERT_TRUE(nobody) << nobody.error().message;
  EXPECT_NE(nobody->uid, 0U);
  EXPECT_EQ(nobody->groups, std::vector<gid_t>{nobody->gid});
  const auto other = find_identity("nobody", "daemon");
  ASSERT_TRUE(other);
  EXPECT_NE(other->gid, nobody->gid);
}

TEST(Identity, RootIsGoneForGood) {
  if (!is_root()) GTEST_SKIP() << "only root can become somebody else";
  const Identity nobody = *find_identity("nobody", "");
  EXPECT_EQ(in_child([&] {
              if (!become(nobody) || !give_up_capabilities() || !forbid_new_privileges())
                return 100;
              if (::setuid(0) == 0 || ::seteuid(0) == 0 || ::setgid(0) == 0) return 101;
              const std::string uid = std::to_string(nobody.uid);
              const std::string gid = std::to_string(nobody.gid);
              const std::string uids = uid + "\t" + uid + "\t" + uid + "\t" + uid;
              const std::string gids = gid + "\t" + gid + "\t" + gid + "\t" + gid;
              return compare({{"Uid", uids},
                              {"Gid", gids},
                              {"Groups", gid + " "},
                              {"CapInh", kNone},
                              {"CapPrm", kNone},
                              {"CapEff", kNone},
                              {"CapBnd", kNone},
                              {"CapAmb", kNone},
                              {"NoNewPrivs", "1"}});
            }),
            "0");
}

TEST(Identity, RootThatStaysHasNoCapabilities) {
  if (!is_root()) GTEST_SKIP() << "only root has capabilities to give up";
  EXPECT_EQ(in_child([] {
              if (!become(current_identity()) || !give_up_capabilities()) return 100;
              return compare({{"CapPrm", kNone}, {"CapEff", kNone}, {"CapBnd", kNone}});
            }),
            "0");
}

TEST(Identity, CoreDumpsAreAChoice) {
  for (const bool allowed : {false, true}) {
    EXPECT_EQ(in_child([&] {
                allow_core_dumps(allowed);
                return ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
              }),
              allowed ? "1" : "0");
  }
}

TEST(Identity, FilesThatAUserCannotReadAreFoundOut) {
  if (!is_root()) GTEST_SKIP() << "only root can ask for somebody else";
  std::string pattern = fs::temp_directory_path() / "ringmta-identity-XXXXXX";
  const fs::path directory = ::mkdtemp(pattern.data());
  ::chmod(directory.c_str(), 0755);
  for (const auto& [name, mode] : {std::pair{"open", 0644}, {"closed", 0600}}) {
    std::ofstream(directory / name) << "text";
    ::chmod((directory / name).c_str(), static_cast<mode_t>(mode));
  }
  const Identity nobody = *find_identity("nobody", "");
  const std::vector<std::string> files{directory / "open", directory / "closed",
                                       directory / "missing"};
  EXPECT_EQ(unreadable_files(nobody, files), (std::vector<std::string>{files[1], files[2]}));
  EXPECT_EQ(unreadable_files(current_identity(), files), std::vector<std::string>{files[2]});
  fs::remove_all(directory);
}

}  // namespace
}  // namespace ringmta::process
