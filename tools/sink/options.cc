// SPDX-License-Identifier: GPL-3.0-or-later
// The command line of the sink.
#include "tools/sink/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "tools/common/endpoints.h"

namespace ringmta::tools {
namespace {

constexpr const char* kAbout =
    "Takes mail and throws it away (or records it), counts it, and proves that what ringmta-load "
    "sent arrived\n"
    "exactly once and unchanged. Answers as a replies program says; see docs/sink.md. Exit status "
    "0 when\n"
    "nothing was wrong.\n"
    "\n"
    "Example: ringmta-sink --listen 127.0.0.1:2526 --verify --messages 100000";

ParsedSinkOptions refuse(const std::string& why) {
  std::cerr << "ringmta-sink: " << why << "\n";
  ParsedSinkOptions parsed;
  parsed.exit_code = 2;
  return parsed;
}

}  // namespace

ParsedSinkOptions parse_sink_options(int argc, char** argv) {
  ParsedSinkOptions parsed;
  parsed.run = true;
  SinkOptions& options = parsed.options;
  std::vector<std::string> listen;
  CLI::App app(kAbout, "ringmta-sink");
  app.add_option(
         "--listen", listen,
         "ADDRESS:PORT or 127.0.1.1-127.0.1.200:PORT; may be repeated; port 0 = any free one")
      ->required()
      ->allow_extra_args(false)
      ->option_text("ADDRESS:PORT");
  app.add_option("--replies", options.replies,
                 "TOML file that says when to answer what (docs/sink.md)")
      ->check(CLI::ExistingFile)
      ->option_text("FILE");
  app.add_option("--record", options.record,
                 "write each message with its envelope as a file into this directory")
      ->check(CLI::ExistingDirectory)
      ->option_text("DIRECTORY");
  app.add_flag("--verify", options.verify,
               "check digests, and that each message came once for each recipient");
  app.add_option("--messages", options.deliveries,
                 "leave after so many deliveries (messages times recipients)")
      ->option_text("N");
  app.add_option("--idle", options.idle_s,
                 "leave after so many seconds without a delivery, once there was one")
      ->check(CLI::NonNegativeNumber)
      ->option_text("SECONDS");
  app.add_option("--threads", options.threads, "each with its own ring")
      ->check(CLI::Range(1, 256))
      ->option_text("N [1]");
  app.add_flag("--json", options.json, "print the report as one JSON object on stdout");
  app.add_flag("--quiet", options.quiet, "no report for people");
  app.add_option("--report-file", options.report_file,
                 "write the report as JSON at the end and on SIGUSR1")
      ->option_text("FILE");
  app.add_option("--ready-file", options.ready_file,
                 "written once listening: the real addresses, one a line")
      ->option_text("FILE");
  app.add_option("--hostname", options.hostname, "name in the greeting")
      ->option_text("NAME [ringmta-sink.test]");
  app.add_option("--size", options.size_max, "largest message in octets; 0 = SIZE is not offered")
      ->option_text("OCTETS [104857600]");
  app.add_option("--recipients-max", options.recipients_max, "accepted per transaction")
      ->option_text("N [1000]");
  const auto offer = [&app](const char* name, bool& offered, const char* text) {
    app.add_flag_callback(name, [&offered] { offered = false; }, text);
  };
  offer("--no-pipelining", options.pipelining, "do not offer PIPELINING");
  offer("--no-chunking", options.chunking, "do not offer CHUNKING");
  offer("--no-8bitmime", options.eight_bit_mime, "do not offer 8BITMIME");
  offer("--no-smtputf8", options.smtputf8, "do not offer SMTPUTF8");
  offer("--no-enhanced-status-codes", options.enhanced_status_codes,
        "do not offer ENHANCEDSTATUSCODES");
  offer("--no-dsn", options.dsn, "do not offer DSN");
  app.add_option("--capabilities", options.capabilities,
                 "further lines of the EHLO reply, as they are; may be repeated")
      ->allow_extra_args(false)
      ->option_text("LINE");
  app.add_option("--tls-certificate", options.tls_certificate,
                 "PEM file of the certificate and its intermediates: speak TLS")
      ->check(CLI::ExistingFile)
      ->option_text("FILE");
  app.add_option("--tls-key", options.tls_key, "PEM file of its key")
      ->check(CLI::ExistingFile)
      ->option_text("FILE");
  std::string tls_mode = "starttls";
  app.add_option("--tls", tls_mode, "starttls, or implicit: TLS from the first octet")
      ->check(CLI::IsMember({"starttls", "implicit"}))
      ->option_text("MODE [starttls]");
  app.add_option("--auth", options.auth,
                 "mechanisms, user, and the file of the password or token: no mail without it")
      ->option_text("MECHANISM,...:USER:FILE");
  app.add_option("--seed", options.seed, "for rules with a share")->option_text("N [1]");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    parsed.run = false;
    parsed.exit_code = app.exit(error) == 0 ? 0 : 2;
    return parsed;
  }
  options.tls_implicit = tls_mode == "implicit";
  if (options.tls_certificate.empty() != options.tls_key.empty()) {
    return refuse("--tls-certificate and --tls-key go together");
  }
  for (const std::string& text : listen) {
    const auto addresses = parse_listeners(text);
    if (!addresses) return refuse(addresses.error().message);
    options.listeners.insert(options.listeners.end(), addresses->begin(), addresses->end());
  }
  return parsed;
}

}  // namespace ringmta::tools
