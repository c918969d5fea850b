// SPDX-License-Identifier: GPL-3.0-or-later
// `ringmta send`: a file or standard input, handed in as any client would.
#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <ostream>
#include <sstream>

#include "commands.h"
#include "ringmta/config/load.h"
#include "ringmta/smtp/envelope.h"
#include "submission.h"
#include "text.h"

namespace ringmta::cli {
namespace {

std::string own_hostname() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 && name[0] != '\0' ? name : "localhost";
}

std::string own_address() {
  const passwd* user = ::getpwuid(::getuid());
  return fmt::format("{}@{}", user != nullptr ? user->pw_name : "nobody", own_hostname());
}

// A listener that takes mail from everywhere takes it from this host too.
std::string reachable(SocketAddress listener) {
  const std::string host = listener.host_text();
  if (host == "0.0.0.0") return fmt::format("127.0.0.1:{}", listener.port());
  if (host == "::") return fmt::format("[::1]:{}", listener.port());
  return listener.text();
}

Result<std::string> server_of(const SendCommand& command) {
  if (!command.server.empty()) return command.server;
  const bool by_default = command.configuration.empty();
  const std::string file = by_default ? config::kDefaultFile : command.configuration;
  if (by_default && ::access(file.c_str(), F_OK) != 0) {
    return reachable(config::default_settings().server.listeners.front());
  }
  const config::Loaded loaded = config::load(file, config::this_machine());
  if (!loaded.errors.empty()) {
    return fail(text(loaded, loaded.errors.front()) + "; or name the server with --server");
  }
  return reachable(loaded.settings.server.listeners.front());
}

// What would break the command it stands in, or the header.
bool is_address(std::string_view text) {
  return !text.empty() && std::none_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) <= ' ' || c == 127 || c == '<' || c == '>';
  });
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 127; });
}

Result<uint8_t> notify_of(std::string_view list) {
  if (list.empty()) return 0;
  if (list == "never") return smtp::Notify::kNever;
  uint8_t bits = 0;
  for (std::string_view rest = list;;) {
    const size_t comma = rest.find(',');
    const std::string_view word = rest.substr(0, comma);
    if (word == "success") bits |= smtp::Notify::kSuccess;
    if (word == "failure") bits |= smtp::Notify::kFailure;
    if (word == "delay") bits |= smtp::Notify::kDelay;
    if (word != "success" && word != "failure" && word != "delay") {
      return fail(fmt::format("--notify: \"{}\" is not never, success, failure or delay", word));
    }
    if (comma == std::string_view::npos) return bits;
    rest.remove_prefix(comma + 1);
  }
}

Result<std::string> read_input(const std::string& file, std::istream& standard_input) {
  std::ostringstream content;
  if (file.empty() || file == "-") {
    if (standard_input.peek() != std::istream::traits_type::eof())
      content << standard_input.rdbuf();
    return content.str();
  }
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return fail_errno(file + " cannot be read", errno);
  if (stream.peek() != std::istream::traits_type::eof()) content << stream.rdbuf();
  if (stream.bad()) return fail_errno(file + " cannot be read", errno);
  return content.str();
}

Result<Submission> prepare(const SendCommand& command, std::istream& standard_input) {
  Submission submission;
  submission.hostname = own_hostname();
  submission.timeout = command.timeout;
  submission.to = command.to;
  if (!command.null_sender) submission.from = command.from.value_or(own_address());
  for (const std::string& address : command.to) {
    if (!is_address(address))
      return fail(fmt::format("--to: \"{}\" is not an address", harmless(address)));
  }
  if (!command.null_sender && !is_address(submission.from)) {
    return fail(
        fmt::format("--from: \"{}\" is not an address (the null reverse-path is "
                    "--null-sender)",
                    harmless(submission.from)));
  }
  if (command.subject && has_control(*command.subject)) {
    return fail("--subject: is one line, without control characters");
  }
  const auto notify = notify_of(command.notify);
  if (!notify) return std::unexpected(notify.error());
  submission.notify = *notify;
  auto server = server_of(command);
  if (!server) return std::unexpected(server.error());
  submission.server = std::move(*server);
  auto input = read_input(command.file, standard_input);
  if (!input) return std::unexpected(input.error());
  if (command.subject) {
    const bool eight_bit = std::any_of(input->begin(), input->end(),
                                       [](char c) { return static_cast<unsigned char>(c) > 127; });
    *input = header_text({submission.from, command.to, *command.subject, submission.hostname},
                         eight_bit) +
             *input;
  }
  if (input->empty()) return fail("there is no message: give a file or standard input");
  submission.content = wire_form(*input);
  return submission;
}

}  // namespace

int send_command(const SendCommand& command, const Console& console) {
  const Result<Submission> submission = prepare(command, console.in);
  if (!submission) return complain(console, submission.error().message, kMistake);
  const auto verdicts = submit(*submission);
  if (!verdicts) return complain(console, verdicts.error().message, kUnreachable);
  int status = kDone;
  for (const SubmissionVerdict& verdict : *verdicts) {
    const bool accepted = verdict.reply.positive();
    (accepted ? console.out : console.err)
        << fmt::format("{}: {}\n", harmless(verdict.address), harmless(verdict.reply.line()));
    if (verdict.reply.permanent()) status = kFailed;
    if (!accepted && status == kDone) status = kTryAgain;
  }
  return status;
}

}  // namespace ringmta::cli
