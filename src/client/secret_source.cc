// SPDX-License-Identifier: GPL-3.0-or-later
// Files are read whole; commands are the business of process/command_runner.h.
#include "secret_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "ringmta/base/wipe.h"

namespace ringmta::client {
namespace {

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

Result<FetchedSecret> fetch_secret(const AuthOptions& source, const std::atomic<bool>& stop,
                                   process::CommandRunner* runner) {
  const bool from_command = !source.token_command.empty();
  const std::string& path = source.password_file.empty() ? source.token_file : source.password_file;
  const std::string name = from_command ? "what " + source.token_command[0] + " prints" : path;
  const auto run = [&] {
    return runner != nullptr ? runner->run(source.token_command, stop)
                             : process::run_command(source.token_command, stop);
  };
  Result<std::string> text = from_command ? run() : read_whole(path);
  if (!text) return std::unexpected(text.error());
  Result<FetchedSecret> secret = read_secret(*text, source.has_token());
  wipe(*text);
  if (!secret) return fail(name + " " + secret.error().message);
  return secret;
}

}  // namespace ringmta::client
