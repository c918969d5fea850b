// SPDX-License-Identifier: GPL-3.0-or-later
// The command line, and what is refused in it.
#include "tools/load/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <iostream>
#include <map>

#include "ringmta/base/base64.h"
#include "tools/common/endpoints.h"

namespace ringmta::tools {
namespace {

constexpr const char* kAbout =
    "Sends generated mail to one or more SMTP servers as fast as they take it (or at a given "
    "rate), counts\n"
    "every reply, and says what became of each message. Exit status 0 only when every message got "
    "its 250.\n"
    "\n"
    "Example: ringmta-load --target 127.0.0.1:2525 --messages 100000 --size mix --sessions 100";

ParsedOptions refuse(const std::string& why) {
  std::cerr << "ringmta-load: " << why << "\n";
  ParsedOptions parsed;
  parsed.exit_code = 2;
  return parsed;
}

std::string auth_command(std::string_view user, std::string_view password) {
  std::string octets;
  octets.append(1, '\0').append(user).append(1, '\0').append(password);
  std::string command = "AUTH PLAIN ";
  append_base64(as_bytes(octets), command);
  return command + "\r\n";
}

// From "USER:FILE" (a name may have a colon in it, a file name may not) to the command, or to one
// for each of so many users whose numbers stand for the {} in USER.
Result<std::vector<std::string>> auth_commands(const std::string& text, uint32_t users) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return fail("--auth takes USER:FILE");
  std::ifstream file(text.substr(colon + 1));
  std::string password;
  if (!std::getline(file, password)) {
    return fail("--auth: no password can be read from " + text.substr(colon + 1));
  }
  const std::string user = text.substr(0, colon);
  if (users == 0) return std::vector{auth_command(user, password)};
  const size_t place = user.find("{}");
  if (place == std::string::npos) {
    return fail("--users needs a {} in the USER of --auth, where the number of the user goes");
  }
  std::vector<std::string> commands;
  for (uint32_t i = 0; i < users; ++i) {
    std::string numbered = user;
    commands.push_back(auth_command(numbered.replace(place, 2, std::to_string(i)), password));
  }
  return commands;
}

}  // namespace

ParsedOptions parse_load_options(int argc, char** argv) {
  ParsedOptions parsed;
  parsed.run = true;
  LoadOptions& options = parsed.options;
  std::string target;
  std::string size = "1024";
  std::string auth;
  uint32_t users = 0;
  CLI::App app(kAbout, "ringmta-load");
  app.add_option("--target", target,
                 "HOST:PORT, or several with commas between; sessions take turns")
      ->required()
      ->option_text("HOST:PORT[,...]");
  auto* messages = app.add_option("--messages", options.messages,
                                  "how many (1000; with --directory: each file once)")
                       ->option_text("N");
  app.add_option(
         "--size", size,
         "octets of a message with its header: N, LO-HI, or mix (newsletters, 2 KB to 200 KB)")
      ->option_text("SIZE [1024]");
  app.add_option("--sessions", options.sessions, "connections at once, over all threads")
      ->check(CLI::Range(1, 60000))
      ->option_text("N [50]");
  app.add_option("--threads", options.threads, "each with its own ring")
      ->check(CLI::Range(1, 256))
      ->option_text("N [1]");
  app.add_option("--rate", options.rate, "messages per second in all; 0 = as fast as it goes")
      ->check(CLI::NonNegativeNumber)
      ->option_text("N [0]");
  const std::map<std::string, Pipelining> modes{
      {"on", Pipelining::on}, {"off", Pipelining::off}, {"bdat", Pipelining::bdat}};
  app.add_option("--pipelining", options.pipelining,
                 "on: the envelope in one write; off: each command waits; bdat: BDAT where the "
                 "peer offers CHUNKING")
      ->transform(CLI::CheckedTransformer(modes, CLI::ignore_case))
      ->option_text("on|off|bdat [on]");
  app.add_option("--messages-per-session", options.messages_per_session,
                 "then QUIT and connect again; 0 = unlimited, 1 = one connection per message")
      ->option_text("N [0]");
  app.add_option("--recipients", options.mail.recipients, "per message, on average")
      ->option_text("N [1]");
  app.add_option("--domains", options.mail.domains,
                 "recipients are spread over so many: d1.DOMAIN, d2.DOMAIN, ...")
      ->option_text("N [1]");
  app.add_option("--domain", options.mail.domain, "of the recipients")
      ->option_text("NAME [load.test]");
  app.add_option("--from", options.mail.from,
                 "reverse-path and From; empty for the null reverse-path")
      ->option_text("ADDRESS [newsletter@sender.test]");
  app.add_option("--seed", options.mail.seed, "same seed, same messages")->option_text("N [1]");
  app.add_option("--run", options.mail.run, "name of this run in X-Load-Id; made up when not given")
      ->option_text("NAME");
  app.add_option("--directory", options.mail.directory,
                 "send the .eml files in it instead of generated mail")
      ->check(CLI::ExistingDirectory)
      ->option_text("DIRECTORY");
  app.add_flag("--stamp", options.mail.stamp,
               "put X-Load-Id and X-Load-Digest in front of these files");
  app.add_option("--retry", options.retry, "how often a message answered 4xx is tried again")
      ->option_text("N [0]");
  app.add_option("--retry-delay", options.retry_delay_ms, "milliseconds before that")
      ->option_text("MS [1000]");
  app.add_option("--timeout", options.timeout_s, "seconds to wait for a reply")
      ->check(CLI::PositiveNumber)
      ->option_text("SECONDS [60]");
  app.add_option("--connect-patience", options.connect_patience_s,
                 "seconds that a session keeps trying when it gets no connection")
      ->option_text("SECONDS [10]");
  const std::map<std::string, LoadTls> tls{
      {"off", LoadTls::off}, {"starttls", LoadTls::starttls}, {"implicit", LoadTls::implicit}};
  app.add_option("--tls", options.tls,
                 "starttls: a server that does not offer it is a failure; implicit: from the first "
                 "octet. Certificates are not verified")
      ->transform(CLI::CheckedTransformer(tls, CLI::ignore_case))
      ->option_text("off|starttls|implicit [off]");
  app.add_flag("--tls-no-resumption", options.tls_no_resumption,
               "a full handshake for every connection");
  app.add_option("--auth", auth, "log in by AUTH PLAIN; the password is the first line of the file")
      ->option_text("USER:FILE");
  app.add_option("--users", users,
                 "sessions log in as so many users in turn: {} in USER is the number, from 0")
      ->check(CLI::Range(1, 1'000'000))
      ->option_text("N");
  app.add_option("--hello", options.hello, "name given in EHLO")
      ->option_text("NAME [ringmta-load.test]");
  app.add_flag("--json", options.json, "print the summary as one JSON object on stdout");
  app.add_flag("--quiet", options.quiet, "no progress line, and no summary for people");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    parsed.run = false;
    parsed.exit_code = app.exit(error) == 0 ? 0 : 2;
    return parsed;
  }
  auto targets = parse_targets(target);
  if (!targets) return refuse(targets.error().message);
  options.targets = std::move(*targets);
  const auto range = parse_size_range(size);
  if (!range) return refuse(range.error().message);
  options.mail.size = *range;
  if (users > 0 && auth.empty()) return refuse("--users needs --auth USER:FILE");
  if (!auth.empty()) {
    auto commands = auth_commands(auth, users);
    if (!commands) return refuse(commands.error().message);
    options.auth = std::move(*commands);
  }
  options.messages_given = messages->count() > 0;
  options.threads = std::min(options.threads, options.sessions);
  return parsed;
}

}  // namespace ringmta::tools
