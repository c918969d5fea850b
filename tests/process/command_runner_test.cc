// SPDX-License-Identifier: GPL-3.0-or-later
// The process that runs commands: which ones, as whom, and when it and they end.
#include "ringmta/process/command_runner.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

namespace ringmta::process {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

const std::atomic<bool> kNoStop{false};

class Commands : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = fs::temp_directory_path() / "ringmta-runner-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    ::chmod(directory_.c_str(), 0777);
  }
  void TearDown() override { fs::remove_all(directory_); }

  static Command shell(const std::string& text) { return {"/bin/sh", "-c", text}; }

  std::string in(const char* name) const { return directory_ / name; }

  fs::path directory_;
};

std::string text_of(const Result<std::string>& result) {
  return result ? *result : "failed: " + result.error().message;
}

// True as soon as it is, or false after far too long.
bool becomes(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (std::chrono::steady_clock::now() < end) {
    if (condition()) return true;
    std::this_thread::sleep_for(5ms);
  }
  return false;
}

bool alive(const std::string& file_with_pid) {
  pid_t pid = 0;
  std::ifstream(file_with_pid) >> pid;
  return pid > 0 && ::kill(pid, 0) == 0;
}

TEST_F(Commands, WhatTheConfigurationNamesIsRun) {
  CommandRunner runner;
  const Command known = shell("echo token");
  ASSERT_TRUE(runner.start({}));
  ASSERT_TRUE(runner.begin(current_identity(), {known}));
  EXPECT_EQ(text_of(runner.run(known, kNoStop)), "token\n");
  EXPECT_EQ(text_of(runner.run(known, kNoStop)), "token\n");
}

TEST_F(Commands, NothingElseIsRun) {
  CommandRunner runner;
  ASSERT_TRUE(runner.start({}));
  ASSERT_TRUE(runner.begin(current_identity(), {shell("echo token")}));
  const Command other = shell("touch " + in("made"));
  EXPECT_EQ(text_of(runner.run(other, kNoStop)),
            "failed: the configuration names no command \"/bin/sh\" with these arguments");
  EXPECT_FALSE(fs::exists(in("made")));
  EXPECT_FALSE(runner.begin(current_identity(), {other})) << "nobody is believed later";
  EXPECT_NE(text_of(runner.run(other, kNoStop)).find("names no command"), std::string::npos);
  EXPECT_FALSE(fs::exists(in("made")));
}

TEST_F(Commands, WhatANewConfigurationNamesIsRun) {
  CommandRunner runner;
  const std::string list = in("list");
  ASSERT_TRUE(runner.start([list](const Command& command) {
    std::string line;
    std::ifstream file(list);
    return std::getline(file, line) && line == command.back();
  }));
  ASSERT_TRUE(runner.begin(current_identity(), {}));
  EXPECT_NE(text_of(runner.run(shell("echo new"), kNoStop)).find("names no"), std::string::npos);
  std::ofstream(list) << "echo new\n";
  EXPECT_EQ(text_of(runner.run(shell("echo new"), kNoStop)), "new\n");
}

TEST_F(Commands, BelongToTheRelaysUser) {
  if (!is_root()) GTEST_SKIP() << "only root can become somebody else";
  CommandRunner runner;
  const Command command = shell("id -u; grep -E 'CapEff|NoNewPrivs' /proc/self/status");
  const Identity nobody = *find_identity("nobody", "");
  ASSERT_TRUE(runner.start({}));
  ASSERT_TRUE(runner.begin(nobody, {command}));
  EXPECT_EQ(text_of(runner.run(command, kNoStop)),
            std::to_string(nobody.uid) + "\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n");
}

TEST_F(Commands, NothingIsInheritedFromTheRelay) {
  CommandRunner runner;
  const Command command = shell("ls /proc/self/fd | wc -l; cat; head -c 10 /dev/stdin");
  ASSERT_TRUE(runner.start({}));
  ASSERT_TRUE(runner.begin(current_identity(), {command}));
  EXPECT_EQ(text_of(runner.run(command, kNoStop)), "4\n") << "standard three, and ls's own";
}

TEST_F(Commands, FailuresAreTold) {
  CommandRunner runner;
  const Command status = shell("exit 3");
  const Command much = shell("head -c 20000 /dev/zero");
  const Command missing{"/nonexistent/program"};
  ASSERT_TRUE(runner.start({}));
  ASSERT_TRUE(runner.begin(current_identity(), {status, much, missing}));
  EXPECT_EQ(text_of(runner.run(status, kNoStop)), "failed: /bin/sh ended with status 3");
  EXPECT_EQ(text_of(runner.run(much, kNoStop)), "failed: /bin/sh printed more than a token");
  EXPECT_EQ(text_of(runner.run(missing, kNoStop)),
            "failed: /nonexistent/program: No such file or directory");
}

// One that closes its output has answered; that it goes on and on must not hold up the next.
TEST_F(Commands, OneThatDoesNotEndIsKilled) {
  CommandRunner runner;
  const Command command = shell("echo $$ > " + in("pid") + "; exec >&-; exec sleep 1000");
  ASSERT_TRUE(runner.start({}));
  ASSERT_TRUE(runner.begin(current_identity(), {command}));
  EXPECT_NE(text_of(runner.run(command, kNoStop)).find("took longer"), std::string::npos);
  EXPECT_FALSE(alive(in("pid")));
}

TEST_F(Commands, EndWithTheRelay) {
  const Command command = shell("echo $$ > " + in("pid") + "; exec sleep 1000");
  std::atomic<bool> stop{false};
  {
    CommandRunner runner;
    ASSERT_TRUE(runner.start({}));
    ASSERT_TRUE(runner.begin(current_identity(), {command}));
    std::thread caller([&] { EXPECT_FALSE(runner.run(command, stop)); });
    EXPECT_TRUE(becomes([&] { return alive(in("pid")); }));
    stop = true;
    caller.join();
    EXPECT_NE(text_of(runner.run(command, kNoStop)).find("has ended"), std::string::npos);
  }
  EXPECT_FALSE(alive(in("pid")));
}

// A relay that is killed has no chance to say goodbye.
TEST_F(Commands, EndWithARelayThatIsKilled) {
  const Command command = shell("echo $$ > " + in("pid") + "; exec sleep 1000");
  const pid_t relay = ::fork();
  if (relay == 0) {
    CommandRunner runner;
    if (!runner.start({}) || !runner.begin(current_identity(), {command})) _exit(1);
    static_cast<void>(runner.run(command, kNoStop));
    _exit(0);
  }
  EXPECT_TRUE(becomes([&] { return alive(in("pid")); }));
  ::kill(relay, SIGKILL);
  ::waitpid(relay, nullptr, 0);
  EXPECT_TRUE(becomes([&] { return !alive(in("pid")); }));
}

}  // namespace
}  // namespace ringmta::process
