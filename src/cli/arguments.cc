// SPDX-License-Identifier: GPL-3.0-or-later
// Names of commands and options, by CLI11. Nothing is done here but reading them.
#include "arguments.h"

#include <CLI/CLI.hpp>
#include <ostream>

#include "ringmta/config/closest.h"
#include "ringmta/config/units.h"
#include "ringmta/sasl/users.h"

namespace ringmta::cli {
namespace {

constexpr const char* kAbout =
    "RingMTA, an outbound SMTP relay.\n"
    "\n"
    "Exit status: 0 done; 1 the relay said no; 2 a mistake in the command line or configuration;\n"
    "3 no relay answers; 4 refused for now. docs/cli.md has examples.";

class Parser final {
 public:
  Parser() : app_(kAbout, "ringmta") {
    app_.require_subcommand(1);
    app_.failure_message(CLI::FailureMessage::simple);
    serve();
    check();
    status();
    top();
    reload();
    queue();
    send();
    password();
    dkim();
    version();
  }

  std::expected<Command, int> parse(int argc, const char* const* argv, const Console& console) {
    if (const std::string mistake = unknown_command(argc, argv); !mistake.empty()) {
      console.err << "ringmta: " << mistake << '\n';
      return std::unexpected(kMistake);
    }
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return std::unexpected(app_.exit(error, console.out, console.err) == 0 ? kDone : kMistake);
    }
    return chosen_();
  }

 private:
  // CLI11 says no more than that a command is missing.
  std::string unknown_command(int argc, const char* const* argv) const {
    const CLI::App* at = &app_;
    for (int i = 1; i < argc && argv[i][0] != '-'; ++i) {
      const std::string_view word = argv[i];
      std::vector<std::string_view> known;
      const CLI::App* found = nullptr;
      for (const CLI::App* sub : at->get_subcommands([](const CLI::App*) { return true; })) {
        known.push_back(sub->get_name());
        if (sub->get_name() == word) found = sub;
      }
      if (known.empty()) break;
      if (found == nullptr) {
        const std::string_view meant = config::closest(word, known);
        std::string text = "there is no command \"" + std::string(word) + "\"";
        if (meant.empty()) return text + "; see ringmta --help";
        return text + "; did you mean \"" + std::string(meant) + "\"?";
      }
      at = found;
    }
    return {};
  }

  template <typename T>
  CLI::App* add(CLI::App& to, const char* name, const char* about, T& command) {
    CLI::App* sub = to.add_subcommand(name, about);
    sub->callback([this, &command] { chosen_ = [&command] { return Command(command); }; });
    return sub;
  }
  static void file_option(CLI::App* sub, std::string& file) {
    sub->add_option("-c,--config", file, "configuration")
        ->option_text(std::string("FILE [") + config::kDefaultFile + "]");
  }
  static void place_options(CLI::App* sub, ControlPlace& place) {
    auto* socket = sub->add_option("--socket", place.socket, "the relay's control socket")
                       ->option_text("PATH");
    sub->add_option("-c,--config", place.file, "configuration that names the socket")
        ->option_text(std::string("FILE [") + config::kDefaultFile + "]")
        ->excludes(socket);
  }
  static CLI::Option* duration_option(CLI::App* sub, const char* name, Milliseconds& into,
                                      const char* about, Milliseconds least) {
    return sub
        ->add_option_function<std::string>(
            name,
            [name, &into, least](const std::string& text) {
              const auto duration = config::parse_duration(text);
              if (!duration) throw CLI::ValidationError(name, duration.error().message);
              if (*duration < least) {
                throw CLI::ValidationError(
                    name, "must be " + config::format_duration(least) + " or more");
              }
              into = *duration;
            },
            about)
        ->option_text("DURATION [" + config::format_duration(into) + "]");
  }

  void serve() {
    CLI::App* sub = add(app_, "serve", "run the relay", serve_);
    serve_.file = config::kDefaultFile;
    file_option(sub, serve_.file);
  }
  void check() {
    CLI::App* sub =
        add(app_, "check", "say what a configuration means, or what is wrong in it", check_);
    check_.file = config::kDefaultFile;
    file_option(sub, check_.file);
    sub->add_flag("--effective", check_.effective, "print every key with the value in force");
    sub->add_flag("--reference", check_.reference, "print docs/configuration.md")->group("");
  }
  void status() {
    CLI::App* sub = add(app_, "status", "what the relay is doing", status_);
    place_options(sub, status_.place);
    sub->add_flag("--json", status_.json, "all figures, as one JSON object");
    CLI::Option* interval =
        duration_option(sub, "--interval", status_.interval,
                        "between the two looks that rates are made of; 0s: no rates", {0});
    sub->parse_complete_callback(
        [this, interval] { status_.interval_given = interval->count() > 0; });
  }
  void top() {
    CLI::App* sub = add(app_, "top", "the same again and again", top_);
    place_options(sub, top_.place);
    duration_option(sub, "--interval", top_.interval, "between two looks", {100});
    sub->add_option("--count", top_.count, "leave after so many; 0: when interrupted")
        ->option_text("N [0]");
  }
  void reload() {
    CLI::App* sub = add(app_, "reload", "have the relay read its configuration anew", reload_);
    place_options(sub, reload_.place);
  }
  void queue() {
    CLI::App* group = app_.add_subcommand("queue", "look at what waits, retry it, remove it");
    group->require_subcommand(1);
    using What = QueueCommand::What;
    CLI::App* list = queue_command(*group, "list", "recipients that wait", What::list);
    list->add_option("--limit", queue_[0].limit, "how many at most; 0: all")
        ->option_text("N [1000]");
    CLI::App* show =
        queue_command(*group, "show", "one message, each of its recipients", What::show);
    show->get_option("--id")->required();
    for (const auto& [what, name, about] :
         {std::tuple(What::retry, "retry", "try now what waits for its next attempt"),
          std::tuple(What::remove, "remove", "give up without telling the sender")}) {
      QueueCommand& command = queue_[static_cast<size_t>(what)];
      queue_command(*group, name, about, what)
          ->add_flag("--all", command.all, "the whole queue, instead of a filter");
    }
  }
  CLI::App* queue_command(CLI::App& group, const char* name, const char* about,
                          QueueCommand::What what) {
    QueueCommand& command = queue_[static_cast<size_t>(what)];
    command.what = what;
    CLI::App* sub = add(group, name, about, command);
    place_options(sub, command.place);
    sub->add_option("--id,id", command.id, "of the message, as in the reply to DATA and in events")
        ->option_text("ID");
    if (what != QueueCommand::What::show) {
      sub->add_option("--domain", command.domain, "of the recipient")->option_text("NAME");
      sub->add_option("--sender", command.sender, "reverse-path, without <>")
          ->option_text("ADDRESS");
      sub->add_option("--site", command.site, "route or site")->option_text("NAME");
    }
    sub->add_flag("--json", command.json, "JSON, one object a line");
    return sub;
  }
  void send() {
    CLI::App* sub = add(app_, "send", "hand a message in by SMTP", send_);
    sub->add_option("file", send_.file, "the message, header and all; - or none: standard input")
        ->option_text("FILE");
    auto* server = sub->add_option("--server", send_.server, "where; a literal address or a name")
                       ->option_text("HOST:PORT");
    sub->add_option("-c,--config", send_.configuration,
                    "configuration whose first listener takes it")
        ->option_text(std::string("FILE [") + config::kDefaultFile + "]")
        ->excludes(server);
    auto* from =
        sub->add_option("--from", send_.from, "reverse-path")->option_text("ADDRESS [USER@HOST]");
    sub->add_flag("--null-sender", send_.null_sender,
                  "the null reverse-path, as notifications have")
        ->excludes(from);
    sub->add_option("--to", send_.to, "recipient; may be repeated")
        ->required()
        ->allow_extra_args(false)
        ->option_text("ADDRESS");
    sub->add_option("--subject", send_.subject,
                    "the input is a text: make a header with this subject for it")
        ->option_text("TEXT");
    sub->add_option("--notify", send_.notify, "never, or some of success,failure,delay (RFC 3461)")
        ->option_text("LIST");
    duration_option(sub, "--timeout", send_.timeout, "for each reply", {1});
  }
  void password() {
    CLI::App* sub = add(app_, "password", "make an entry for the users file", password_);
    sub->add_option("name", password_.name, "of the user")->required()->option_text("NAME");
    sub->add_option("--file", password_.file, "put it into this file, instead of printing it")
        ->option_text("PATH");
    password_.iterations = sasl::kIterationsDefault;
    sub->add_option("--iterations", password_.iterations, "of the password's hash")
        ->check(CLI::Range(uint64_t{sasl::kIterationsMin}, uint64_t{sasl::kIterationsMax}))
        ->option_text("N [" + std::to_string(sasl::kIterationsDefault) + "]");
  }
  void dkim() {
    CLI::App* group = app_.add_subcommand("dkim", "keys that sign mail: make one, check one");
    group->require_subcommand(1);
    CLI::App* key = add(*group, "key", "make a key and print its DNS record", dkim_key_);
    key->add_option("--domain", dkim_key_.domain, "whose key (d=)")
        ->required()
        ->option_text("NAME");
    key->add_option("--selector", dkim_key_.selector, "under which name it is published (s=)")
        ->required()
        ->option_text("NAME");
    key->add_option("--out", dkim_key_.file, "file for the private key; must not be there yet")
        ->required()
        ->option_text("FILE");
    auto* ed25519 = key->add_flag("--ed25519", dkim_key_.ed25519, "an Ed25519 key instead of RSA");
    key->add_option("--bits", dkim_key_.bits, "of an RSA key")
        ->option_text("N [2048]")
        ->excludes(ed25519);
    CLI::App* check =
        add(*group, "check", "is the published key that of the private one?", dkim_check_);
    dkim_check_.file = config::kDefaultFile;
    auto* file = check->add_option("-c,--config", dkim_check_.file, "configuration, all its keys")
                     ->option_text(std::string("FILE [") + config::kDefaultFile + "]");
    check->add_option("--key", dkim_check_.key_file, "one private key instead")
        ->option_text("FILE")
        ->excludes(file);
    check->add_option("--domain", dkim_check_.domain, "of the key")->option_text("NAME");
    check->add_option("--selector", dkim_check_.selector, "of the key")->option_text("NAME");
    check
        ->add_option("--record", dkim_check_.record, "compare with this text; the DNS is not asked")
        ->option_text("TEXT");
    check
        ->add_option_function<std::vector<std::string>>(
            "--server",
            [this](const std::vector<std::string>& texts) {
              for (const std::string& text : texts) {
                const auto address = parse_socket_address(text, 53);
                if (!address) throw CLI::ValidationError("--server", address.error().message);
                dkim_check_.servers.push_back(*address);
              }
            },
            "DNS server to ask; may be repeated")
        ->allow_extra_args(false)
        ->option_text("ADDRESS");
  }
  void version() { add(app_, "version", "which version this is", version_); }

  CLI::App app_;
  std::function<Command()> chosen_;
  ServeCommand serve_;
  CheckCommand check_;
  StatusCommand status_;
  TopCommand top_;
  ReloadCommand reload_;
  QueueCommand queue_[4];
  SendCommand send_;
  PasswordCommand password_;
  DkimKeyCommand dkim_key_;
  DkimCheckCommand dkim_check_;
  VersionCommand version_;
};

}  // namespace

std::expected<Command, int> parse_arguments(int argc, const char* const* argv,
                                            const Console& console) {
  return Parser().parse(argc, argv, console);
}

}  // namespace ringmta::cli
