// SPDX-License-Identifier: GPL-3.0-or-later
// Files are read whole, commands are run without a shell, with nothing on their standard input and
// their standard error thrown away: it may well hold what must not be written anywhere.
#include "secret_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "ringmta/base/wipe.h"

extern char** environ;

namespace ringmta::client {
namespace {

constexpr int kPollMs = 50;
constexpr int64_t kLifetimeMax_s = 30 * 24 * 3600;

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

Result<std::string> read_whole(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.number < 0) return fail_errno(path, errno);
  std::string text(kSecretMax + 1, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(file.number, text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(path, errno);
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  if (size > kSecretMax) return fail(fmt::format("{} is too large for a secret", path));
  text.resize(size);
  return text;
}

// Its own process group, so that what it started ends with it.
Result<pid_t> start(const std::vector<std::string>& command, int output) {
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

// Until the command closes its output, or its time is over.
Ended read_output(int from, const std::atomic<bool>& stop, std::string& text) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kCommandMax.count);
  while (true) {
    if (stop || std::chrono::steady_clock::now() >= end) return {false, false};
    pollfd wait{from, POLLIN, 0};
    if (::poll(&wait, 1, kPollMs) <= 0) continue;
    char piece[1024];
    const ssize_t got = ::read(from, piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return {};
    append_secret(text, {piece, static_cast<size_t>(got)});
    explicit_bzero(piece, sizeof piece);
    if (text.size() > kSecretMax) return {true, true};
  }
}

Result<std::string> run(const std::vector<std::string>& command, const std::atomic<bool>& stop) {
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
  const Ended ended = read_output(reading.number, stop, text);
  if (!ended.in_time || ended.too_much) ::kill(-*child, SIGKILL);
  int status = 0;
  while (::waitpid(*child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!ended.in_time || ended.too_much) {
    wipe(text);
    return fail(ended.too_much ? fmt::format("{} printed more than a token", command[0])
                               : fmt::format("{} took longer than {} s", command[0],
                                             kCommandMax.count / 1000));
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    wipe(text);
    return fail(WIFEXITED(status)
                    ? fmt::format("{} ended with status {}", command[0], WEXITSTATUS(status))
                    : fmt::format("{} was killed by a signal", command[0]));
  }
  return text;
}

Result<FetchedSecret> read_json(std::string_view text) {
  const nlohmann::json object = nlohmann::json::parse(text, nullptr, false);
  if (!object.is_object() || !object.contains("access_token") ||
      !object["access_token"].is_string()) {
    return fail("is not JSON with an \"access_token\"");
  }
  FetchedSecret secret;
  secret.text = object["access_token"].get<std::string>();
  if (object.contains("expires_in") && object["expires_in"].is_number()) {
    const auto told = object["expires_in"].get<double>();
    if (told > 0 && told < static_cast<double>(kLifetimeMax_s)) {
      secret.lifetime = seconds(static_cast<int64_t>(told));
    }
  }
  return secret;
}

}  // namespace

Result<FetchedSecret> read_secret(std::string_view text, bool is_token) {
  if (is_token && text.starts_with('{')) return read_json(text);
  std::string_view line = text.substr(0, text.find('\n'));
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.empty()) return fail("has no first line");
  FetchedSecret secret;
  secret.text = line;
  return secret;
}

Result<FetchedSecret> fetch_secret(const AuthOptions& source, const std::atomic<bool>& stop) {
  const bool from_command = !source.token_command.empty();
  const std::string& path = source.password_file.empty() ? source.token_file : source.password_file;
  const std::string name = from_command ? "what " + source.token_command[0] + " prints" : path;
  Result<std::string> text = from_command ? run(source.token_command, stop) : read_whole(path);
  if (!text) return std::unexpected(text.error());
  Result<FetchedSecret> secret = read_secret(*text, source.has_token());
  wipe(*text);
  if (!secret) return fail(name + " " + secret.error().message);
  return secret;
}

}  // namespace ringmta::client
