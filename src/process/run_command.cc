// SPDX-License-Identifier: GPL-3.0-or-later
// One command, without a shell, bounded in time and output.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "ringmta/base/wipe.h"
#include "ringmta/process/command_runner.h"

extern char** environ;

namespace ringmta::process {
namespace {

constexpr int kPollMs = 50;
constexpr Milliseconds kEndingMax =
    seconds(5);  // from the end of the output to that of the program

// A descriptor that is closed.
struct Descriptor {
  int number = -1;
  explicit Descriptor(int of) : number(of) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

// Its own process group, so that what it started ends with it.
Result<pid_t> start(const Command& command, int output) {
  std::vector<char*> arguments;
  for (const std::string& one : command) arguments.push_back(const_cast<char*>(one.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output, 1);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  pid_t child = 0;
  const int failed =
      posix_spawnp(&child, command[0].c_str(), &actions, &attributes, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failed != 0) return fail_errno(command[0], failed);
  return child;
}

struct Ended {
  bool in_time = true;
  bool too_much = false;
};

// The other end of `lifeline` is gone (or sends what nobody waits for now).
bool cut(const pollfd& lifeline) {
  return lifeline.fd >= 0 && (lifeline.revents & (POLLHUP | POLLERR | POLLRDHUP)) != 0;
}

// Until the command closes its output, or its time is over.
Ended read_output(int from, const std::atomic<bool>& stop, int lifeline, std::string& text) {
  const auto end =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(kCommandTimeMax.count);
  while (true) {
    if (stop || std::chrono::steady_clock::now() >= end) return {false, false};
    pollfd wait[] = {{from, POLLIN, 0}, {lifeline, POLLRDHUP, 0}};
    if (::poll(wait, 2, kPollMs) <= 0) continue;
    if (cut(wait[1])) return {false, false};
    if (wait[0].revents == 0) continue;
    char piece[1024];
    const ssize_t got = ::read(from, piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return {};
    append_secret(text, {piece, static_cast<size_t>(got)});
    explicit_bzero(piece, sizeof piece);
    if (text.size() > kCommandOutputMax) return {true, true};
  }
}

// A program may close its output and yet not end.
bool ends_in_time(pid_t child, const std::atomic<bool>& stop, int lifeline, int& status) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kEndingMax.count);
  for (int pause_ms = 0;; pause_ms = std::min(pause_ms + 1, kPollMs)) {
    const pid_t got = ::waitpid(child, &status, WNOHANG);
    if (got == child || (got < 0 && errno != EINTR)) return true;
    pollfd wait{lifeline, POLLRDHUP, 0};
    if (::poll(&wait, 1, pause_ms) > 0 && cut(wait)) return false;
    if (stop || std::chrono::steady_clock::now() >= end) return false;
  }
}

}  // namespace

Result<std::string> run_command(const Command& command, const std::atomic<bool>& stop,
                                int lifeline) {
  if (command.empty()) return fail("an empty command cannot be run");
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe", errno);
  const Descriptor reading(ends[0]);
  Result<pid_t> child = fail("");
  {
    const Descriptor writing(ends[1]);
    child = start(command, writing.number);
  }
  if (!child) return std::unexpected(child.error());
  std::string text;
  Ended ended = read_output(reading.number, stop, lifeline, text);
  int status = 0;
  if (ended.in_time && !ended.too_much) {
    ended.in_time = ends_in_time(*child, stop, lifeline, status);
  }
  if (!ended.in_time || ended.too_much) {
    ::kill(-*child, SIGKILL);
    while (::waitpid(*child, &status, 0) < 0 && errno == EINTR) {
    }
  }
  if (!ended.in_time || ended.too_much) {
    wipe(text);
    return fail(ended.too_much ? fmt::format("{} printed more than a token", command[0])
                               : fmt::format("{} took longer than {} s", command[0],
                                             kCommandTimeMax.count / 1000));
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    wipe(text);
    return fail(WIFEXITED(status)
                    ? fmt::format("{} ended with status {}", command[0], WEXITSTATUS(status))
                    : fmt::format("{} was killed by a signal", command[0]));
  }
  return text;
}

}  // namespace ringmta::process
