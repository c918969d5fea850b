// SPDX-License-Identifier: GPL-3.0-or-later
// One request, its answer line by line. Blocking, with a limit to how long.
#include "control_client.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "ringmta/config/load.h"
#include "ringmta/config/units.h"

namespace ringmta::cli {
namespace {

constexpr size_t kLineMax = 64 << 20;  // octets; a status of 256 shards has half a megabyte

bool mentions(const config::Loaded& loaded, std::string_view key) {
  return std::any_of(
      loaded.errors.begin(), loaded.errors.end(),
      [&](const config::Problem& problem) { return problem.key == key || problem.key.empty(); });
}

}  // namespace

Result<std::string> find_socket(const ControlPlace& place) {
  if (!place.socket.empty()) return place.socket;
  const bool by_default = place.file.empty();
  const std::string file = by_default ? config::kDefaultFile : place.file;
  if (by_default && ::access(file.c_str(), F_OK) != 0) {
    return config::default_settings().control.socket;
  }
  const config::Loaded loaded = config::load(file, config::this_machine());
  if (mentions(loaded, "control.socket")) {
    std::string message;
    for (const config::Problem& problem : loaded.errors) {
      if (!message.empty()) message += '\n';
      message += text(loaded, problem);
    }
    return fail(message + "; or name the socket with --socket");
  }
  if (loaded.settings.control.socket.empty()) {
    return fail(fmt::format("{} sets [control] socket to \"\": this relay cannot be asked", file));
  }
  return loaded.settings.control.socket;
}

Error explain_connect_failure(const std::string& path, int code) {
  const std::string reason = fail_errno(path, code).error().message;
  switch (code) {
    case ENOENT:
      return {reason +
                  ". Is the relay running (systemctl status ringmta), and is this the [control] "
                  "socket of its configuration? Name another with --socket or -c",
              code};
    case ECONNREFUSED:
      return {reason +
                  ". The socket is there but no relay listens: it has ended without clearing "
                  "up (journalctl -u ringmta), and a start replaces the socket",
              code};
    case EACCES:
    case EPERM:
      return {reason +
                  ". Run this as root or as the relay's user, or let your group in by "
                  "[control] mode = \"0660\"",
              code};
    default:
      return {reason, code};
  }
}

Result<ControlClient> ControlClient::connect(const std::string& path, Milliseconds patience) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return std::unexpected(explain_connect_failure(path, ENAMETOOLONG));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  ControlClient client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), patience);
  if (client.descriptor_ < 0) return fail_errno("no socket", errno);
  if (::connect(client.descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
      0) {
    return std::unexpected(explain_connect_failure(path, errno));
  }
  return client;
}

ControlClient::ControlClient(ControlClient&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      patience_(other.patience_),
      input_(std::move(other.input_)) {}

ControlClient::~ControlClient() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status ControlClient::wait(short events) {
  pollfd watched{descriptor_, events, 0};
  for (;;) {
    const int ready = ::poll(&watched, 1, static_cast<int>(patience_.count));
    if (ready > 0) return {};
    if (ready == 0) {
      return fail(
          fmt::format("the relay has not answered for {}: a shard may be stuck (see its log)",
                      config::format_duration(patience_)),
          ETIMEDOUT);
    }
    if (errno != EINTR) return fail_errno("waiting for the relay's answer", errno);
  }
}

Status ControlClient::write(std::string_view text) {
  while (!text.empty()) {
    if (Status ready = wait(POLLOUT); !ready) return ready;
    const ssize_t sent = ::send(descriptor_, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR) return fail_errno("asking the relay", errno);
    if (sent > 0) text.remove_prefix(static_cast<size_t>(sent));
  }
  return {};
}

Result<std::string> ControlClient::read_line() {
  size_t looked_at = 0;
  for (;;) {
    const size_t end = input_.find('\n', looked_at);
    if (end != std::string::npos) {
      std::string line = input_.substr(0, end);
      input_.erase(0, end + 1);
      return line;
    }
    looked_at = input_.size();
    if (input_.size() > kLineMax) return fail("the relay's answer has no end", EPROTO);
    if (Status ready = wait(POLLIN); !ready) return std::unexpected(ready.error());
    char buffer[65536];
    const ssize_t count = ::recv(descriptor_, buffer, sizeof buffer, 0);
    if (count == 0)
      return fail("the relay closed the connection before its answer was whole", EPIPE);
    if (count < 0 && errno != EINTR) return fail_errno("reading the relay's answer", errno);
    if (count > 0) input_.append(buffer, static_cast<size_t>(count));
  }
}

Status ControlClient::ask(const nlohmann::json& request,
                          const std::function<bool(const nlohmann::json&)>& each) {
  // Arguments may be in any encoding; JSON is UTF-8.
  const std::string text =
      request.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  if (Status written = write(text); !written) return written;
  for (;;) {
    const Result<std::string> answer = read_line();
    if (!answer) return std::unexpected(answer.error());
    const auto line = nlohmann::json::parse(*answer, nullptr, false);
    if (!line.is_object()) return fail("the relay's answer is not a JSON object a line", EPROTO);
    if (line.contains("error") && line["error"].is_string()) {
      return fail(line["error"].get<std::string>());
    }
    if (!each(line) || line.value("end", false)) return {};
  }
}

}  // namespace ringmta::cli
