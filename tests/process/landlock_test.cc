// SPDX-License-Identifier: GPL-3.0-or-later
// What can be opened under the rules and what cannot, by system calls and through a ring.
#include "ringmta/process/landlock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <liburing.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "child.h"
#include "ringmta/process/identity.h"

namespace ringmta::process {
namespace {

namespace fs = std::filesystem;

class Landlock : public testing::Test {
 protected:
  void SetUp() override {
    if (landlock_abi() == 0) GTEST_SKIP() << "this kernel has no Landlock";
    std::string pattern = fs::temp_directory_path() / "ringmta-landlock-XXXXXX";
    root_ = ::mkdtemp(pattern.data());
    for (const char* name : {"read", "write", "closed"}) {
      fs::create_directory(root_ / name);
      std::ofstream(root_ / name / "file") << "text";
    }
  }
  void TearDown() override {
    if (!root_.empty()) fs::remove_all(root_);
  }

  std::string at(const char* name) const { return root_ / name; }

  // The errno of `work` under the rules, as in_child() tells it.
  std::string under_rules(const std::function<int()>& work) const {
    return in_child([&] {
      const FileRules rules{{at("read")}, {at("write")}};
      if (!forbid_new_privileges() || !restrict_files(rules)) return 100;
      return work();
    });
  }
  std::string opened(const char* name, int flags) const {
    const std::string path = at(name);
    return under_rules(
        [&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0600) < 0 ? errno : 0; });
  }

  fs::path root_;
};

const std::string kRefused = std::to_string(EACCES);

TEST_F(Landlock, ReadsWhatIsListedAndNothingElse) {
  EXPECT_EQ(opened("read/file", O_RDONLY), "0");
  EXPECT_EQ(opened("write/file", O_RDONLY), "0");
  EXPECT_EQ(opened("closed/file", O_RDONLY), kRefused);
}

TEST_F(Landlock, WritesWhereItMay) {
  EXPECT_EQ(opened("write/new", O_WRONLY | O_CREAT), "0");
  EXPECT_EQ(opened("read/file", O_WRONLY), kRefused);
  EXPECT_EQ(opened("read/new", O_WRONLY | O_CREAT), kRefused);
  EXPECT_EQ(opened("closed/new", O_WRONLY | O_CREAT), kRefused);
}

TEST_F(Landlock, RenamesAndRemovesWhereItMay) {
  EXPECT_EQ(under_rules([this] {
              if (::rename(at("write/file").c_str(), at("write/other").c_str()) != 0) return errno;
              return ::unlink(at("write/other").c_str()) != 0 ? errno : 0;
            }),
            "0");
  EXPECT_EQ(under_rules([this] { return ::unlink(at("read/file").c_str()) != 0 ? errno : 0; }),
            kRefused);
}

TEST_F(Landlock, ProgramsCannotBeRun) {
  EXPECT_EQ(under_rules([] {
              char* const words[] = {const_cast<char*>("/bin/true"), nullptr};
              ::execv(words[0], words);
              return errno;
            }),
            kRefused);
}

TEST_F(Landlock, SocketsAreMadeWhereItMay) {
  const auto bound = [this](const char* name) {
    const std::string path = at(name);
    return under_rules([&] {
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      path.copy(address.sun_path, sizeof address.sun_path - 1);
      const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
      return ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0 ? errno
                                                                                             : 0;
    });
  };
  EXPECT_EQ(bound("write/socket"), "0");
  EXPECT_EQ(bound("closed/socket"), kRefused);
}

TEST_F(Landlock, PortsCannotBeBound) {
  if (landlock_abi() < 4) GTEST_SKIP() << "this kernel's Landlock knows no ports";
  const auto bound = [this](uint16_t port) {
    return under_rules([&] {
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      address.sin_port = htons(port);
      const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
      return ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0 ? errno
                                                                                             : 0;
    });
  };
  EXPECT_EQ(bound(0), "0");  // the kernel's choice: connections from an address of ours
  EXPECT_EQ(bound(32123), kRefused);
}

// A filter of system calls would not see this one.
TEST_F(Landlock, HoldsForRings) {
  io_uring probe{};
  if (io_uring_queue_init(8, &probe, 0) < 0) GTEST_SKIP() << "this machine refuses io_uring";
  io_uring_queue_exit(&probe);
  const auto opened_by_ring = [this](const char* name) {
    const std::string path = at(name);
    return under_rules([&] {
      io_uring ring{};
      if (io_uring_queue_init(8, &ring, 0) < 0) return 101;
      io_uring_sqe* sqe = io_uring_get_sqe(&ring);
      io_uring_prep_openat(sqe, AT_FDCWD, path.c_str(), O_RDONLY, 0);
      io_uring_submit_and_wait(&ring, 1);
      io_uring_cqe* completion = nullptr;
      if (io_uring_peek_cqe(&ring, &completion) != 0) return 102;
      return completion->res < 0 ? -completion->res : 0;
    });
  };
  EXPECT_EQ(opened_by_ring("read/file"), "0");
  EXPECT_EQ(opened_by_ring("closed/file"), kRefused);
}

// Rules are about directories: a certificate that is renewed is another file of the same name.
TEST_F(Landlock, AFileThatIsReplacedIsReadAgain) {
  int go[2];
  ASSERT_EQ(::pipe(go), 0);
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const FileRules rules{directories_of(at("read/file")), {}};
    if (!forbid_new_privileges() || !restrict_files(rules)) _exit(100);
    char octet = 0;
    if (::write(ready[1], &octet, 1) != 1 || ::read(go[0], &octet, 1) != 1) _exit(101);
    _exit(::open(at("read/file").c_str(), O_RDONLY) < 0 ? errno : 0);
  }
  char octet = 0;
  ASSERT_EQ(::read(ready[0], &octet, 1), 1);
  std::ofstream(root_ / "read" / "newer") << "newer";
  fs::rename(at("read/newer"), at("read/file"));
  ASSERT_EQ(::write(go[1], &octet, 1), 1);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  for (const int fd : {go[0], go[1], ready[0], ready[1]}) ::close(fd);
}

TEST_F(Landlock, TheDirectoriesOfALinkAreBoth) {
  fs::create_symlink(at("closed/file"), at("read/link"));
  EXPECT_EQ(directories_of(at("read/link")), (std::vector<std::string>{at("read"), at("closed")}));
  EXPECT_EQ(directories_of(at("read/file")), std::vector<std::string>{at("read")});
  EXPECT_EQ(directories_of("/name"), std::vector<std::string>{"/name"});
}

}  // namespace
}  // namespace ringmta::process
