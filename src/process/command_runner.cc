// SPDX-License-Identifier: GPL-3.0-or-later
// A message of either direction is words that end in NUL, the first of them a verb:
//
//   known WORD...    become UID GID GROUP...    run WORD...
//   yes OUTPUT                 no REASON
//
// Each is one packet of a socket pair, answered before the next; the end of the socket is the end
// of the process.
#include "ringmta/process/command_runner.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <set>

#include "ringmta/base/wipe.h"

namespace ringmta::process {
namespace {

constexpr size_t kMessageMax = kCommandSizeMax + 1024;
constexpr int kPollMs = 50;

using Words = std::vector<std::string>;

std::string message_of(std::string_view verb, const Words& words) {
  std::string message(verb);
  message += '\0';
  for (const std::string& word : words) message.append(word).append(1, '\0');
  return message;
}

Words words_of(std::string_view message) {
  Words words;
  while (!message.empty()) {
    const size_t end = std::min(message.find('\0'), message.size());
    words.emplace_back(message.substr(0, end));
    message.remove_prefix(std::min(end + 1, message.size()));
  }
  return words;
}

bool send_message(int socket, const std::string& message) {
  ssize_t sent = 0;
  do {
    sent = ::send(socket, message.data(), message.size(), MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(message.size());
}

// Empty: the other end is gone.
std::string receive_message(int socket) {
  std::string message(kMessageMax, '\0');
  ssize_t got = 0;
  do {
    got = ::recv(socket, message.data(), message.size(), 0);
  } while (got < 0 && errno == EINTR);
  message.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return message;
}

// ---- the process

class Server final {
 public:
  Server(int socket, CommandRunner::Permitted permitted)
      : socket_(socket), permitted_(std::move(permitted)) {}

  void serve() {
    for (;;) {
      std::string message = receive_message(socket_);
      if (message.empty()) return;
      Words words = words_of(message);
      const std::string verb = std::move(words.front());
      words.erase(words.begin());
      Result<std::string> answer = obey(verb, words);
      std::string reply = message_of(answer ? "yes" : "no", {});
      append_secret(reply, answer ? *answer : answer.error().message);
      const bool sent = send_message(socket_, reply);
      wipe(reply);
      if (answer) wipe(*answer);
      if (!sent) return;
    }
  }

 private:
  Result<std::string> obey(const std::string& verb, const Words& words) {
    if (verb == "become" && !begun_) return become_user(words);
    if (verb == "known" && !begun_) {  // later nobody is believed
      known_.insert(words);
      return "";
    }
    if (verb == "run" && begun_) return run(words);
    return fail("that is not possible now");
  }

  Result<std::string> become_user(const Words& words) {
    std::vector<uint32_t> numbers;
    for (const std::string& word : words) {
      uint32_t number = 0;
      const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
      if (error != std::errc{} || end != word.data() + word.size()) return fail("a bad number");
      numbers.push_back(number);
    }
    if (numbers.size() < 2) return fail("numbers are missing");
    Identity identity{"of the relay", numbers[0], numbers[1], {numbers.begin() + 2, numbers.end()}};
    if (Status fine = become(identity); !fine) return std::unexpected(fine.error());
    if (Status fine = give_up_capabilities(); !fine) return std::unexpected(fine.error());
    if (Status fine = forbid_new_privileges(); !fine) return std::unexpected(fine.error());
    allow_core_dumps(false);
    begun_ = true;
    return "";
  }

  Result<std::string> run(const Words& words) {
    if (!known_.contains(words)) {
      if (!permitted_ || !permitted_(words)) {
        return fail("the configuration names no command \"" + (words.empty() ? "" : words[0]) +
                    "\" with these arguments");
      }
      known_.insert(words);
    }
    return run_command(words, never_, socket_);
  }

  const int socket_;
  const CommandRunner::Permitted permitted_;
  const std::atomic<bool> never_{false};
  std::set<Command> known_;
  bool begun_ = false;
};

// A terminal's and a service manager's signals are for the relay, which ends this process when it
// needs it no more.
void stand_apart(int socket) {
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) ::signal(number, SIG_IGN);
  const int nothing = ::open("/dev/null", O_RDWR);
  for (int fd = 0; nothing >= 0 && fd <= 2; ++fd) ::dup2(nothing, fd);
  if (socket > 3) ::close_range(3, static_cast<unsigned>(socket) - 1, 0);
  ::close_range(static_cast<unsigned>(socket) + 1, ~0U, 0);
  prctl(PR_SET_NAME, "ringmta-command", 0, 0, 0);
}

}  // namespace

Status CommandRunner::start(Permitted permitted) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail_errno("no socket for the process that runs commands", errno);
  }
  process_ = ::fork();
  if (process_ == 0) {
    stand_apart(ends[1]);
    Server(ends[1], std::move(permitted)).serve();
    _exit(0);
  }
  ::close(ends[1]);
  socket_ = ends[0];
  if (process_ < 0) return fail_errno("no process to run commands", errno);
  return {};
}

CommandRunner::~CommandRunner() {
  if (socket_ >= 0) ::close(socket_);
  if (process_ > 0) {
    while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

Status CommandRunner::begin(const Identity& identity, const std::vector<Command>& known) {
  Words numbers{std::to_string(identity.uid), std::to_string(identity.gid)};
  for (const gid_t group : identity.groups) numbers.push_back(std::to_string(group));
  std::vector<std::string> messages;
  for (const Command& command : known) messages.push_back(message_of("known", command));
  messages.push_back(message_of("become", numbers));
  for (const std::string& message : messages) {
    if (!send_message(socket_, message)) return fail_errno("the process that runs commands", errno);
    const Words answer = words_of(receive_message(socket_));
    if (answer.empty() || answer.front() != "yes") {
      return fail("the process that runs commands: " +
                  (answer.size() > 1 ? answer[1] : "has ended"));
    }
  }
  begun_ = true;
  return {};
}

Result<std::string> CommandRunner::run(const Command& command, const std::atomic<bool>& stop) {
  const std::lock_guard guard(lock_);
  const std::string message = message_of("run", command);
  if (message.size() > kCommandSizeMax) return fail(command.front() + " has too many words");
  if (socket_ < 0 || !send_message(socket_, message)) {
    return fail("the process that runs commands has ended: restart the relay");
  }
  pollfd wait{socket_, POLLIN, 0};
  while (::poll(&wait, 1, kPollMs) <= 0) {
    if (!stop) continue;
    ::close(socket_);  // ends the process, and the command
    socket_ = -1;
    return fail("the relay is ending");
  }
  std::string reply = receive_message(socket_);
  const size_t verb = reply.find('\0');
  if (verb == std::string::npos) {
    return fail("the process that runs commands has ended: restart the relay");
  }
  const bool fine = std::string_view(reply).substr(0, verb) == "yes";
  std::string text;
  append_secret(text, std::string_view(reply).substr(verb + 1));
  wipe(reply);
  if (!fine) return fail(std::move(text));
  return text;
}

}  // namespace ringmta::process
