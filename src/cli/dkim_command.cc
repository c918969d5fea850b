// SPDX-License-Identifier: GPL-3.0-or-later
// `ringmta dkim key` makes a key and says what to publish; `ringmta dkim check` says whether what
// is published belongs to the keys in use.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <ostream>

#include "commands.h"
#include "dkim_lookup.h"
#include "ringmta/config/load.h"
#include "ringmta/dkim/key_ring.h"

namespace ringmta::cli {
namespace {

std::string record_name(const dkim::SignatureOptions& options) {
  return options.selector + "._domainkey." + options.domain;
}

// As in a zone file: strings of at most 255 octets (RFC 1035 3.3).
std::string zone_line(const std::string& name, const std::string& record) {
  constexpr size_t kStringMax = 255;
  std::string line = fmt::format("{}. IN TXT (", name);
  for (size_t at = 0; at < record.size(); at += kStringMax) {
    line += fmt::format("\n    \"{}\"", record.substr(at, kStringMax));
  }
  return line + " )";
}

// A new file that nobody else can read. It never replaces one: a key that is lost cannot be made
// again.
Status write_secret(const std::string& path, const std::string& text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0 && errno == EEXIST) {
    return fail(fmt::format("{} is there already, and is left as it is: choose another name", path),
                EEXIST);
  }
  if (fd < 0) return fail_errno(fmt::format("{} cannot be made", path), errno);
  size_t written = 0;
  int code = 0;
  while (written < text.size() && code == 0) {
    const ssize_t count = ::write(fd, text.data() + written, text.size() - written);
    if (count >= 0) written += static_cast<size_t>(count);
    if (count < 0 && errno != EINTR) code = errno;
  }
  if (code == 0 && ::fsync(fd) != 0) code = errno;
  ::close(fd);
  if (code == 0) return {};
  ::unlink(path.c_str());
  return fail_errno(fmt::format("{} cannot be written", path), code);
}

class Check final {
 public:
  Check(const DkimCheckCommand& command, const Console& console)
      : command_(command), console_(console) {}

  int run() {
    config::Settings settings = config::default_settings();
    if (command_.key_file.empty()) {
      const config::Loaded loaded = config::load(command_.file, config::this_machine());
      for (const config::Problem& problem : loaded.errors) {
        console_.err << text(loaded, problem) << '\n';
      }
      if (!loaded.errors.empty()) return kMistake;
      settings = loaded.settings;
    } else {
      settings.server.dkim.keys = {{command_.key_file, {}, {}, {}}};
      settings.server.dkim.keys[0].signature.domain = command_.domain;
      settings.server.dkim.keys[0].signature.selector = command_.selector;
    }
    if (!command_.servers.empty()) settings.resolver.servers = command_.servers;
    size_t checked = 0;
    int status = kDone;
    for (const dkim::KeyOptions& key : settings.server.dkim.keys) {
      if (left_out(key.signature)) continue;
      ++checked;
      const int one = check(key, settings.resolver);
      if (status == kDone || one == kFailed) status = one == kDone ? status : one;
    }
    if (checked > 0) return status;
    return complain(console_, "there is no such key in " + command_.file, kMistake);
  }

 private:
  bool left_out(const dkim::SignatureOptions& key) const {
    return (!command_.domain.empty() && command_.domain != key.domain) ||
           (!command_.selector.empty() && command_.selector != key.selector);
  }

  int check(const dkim::KeyOptions& options, const dns::ResolverOptions& resolver) {
    const std::string name =
        options.signature.domain.empty() ? options.key_file : record_name(options.signature);
    auto file = dkim::read_key_file(options.key_file);
    if (!file) return told(name, file.error().message, kMistake);
    for (const std::string& warning : {file->warning, file->key.warning()}) {
      if (!warning.empty()) console_.err << fmt::format("warning: {}: {}\n", name, warning);
    }
    const dkim::Identity identity = dkim::identity_of(options.signature);
    if (!command_.record.empty()) return compare(name, file->key, identity, {command_.record});
    const auto found = look_up_text(name, resolver);
    if (!found) return told(name, found.error().message, kMistake);
    switch (found->fate) {
      case dns::Fate::failed:
        return told(name, "the DNS gave no answer: " + found->why, kTryAgain);
      case dns::Fate::no_such_name:
      case dns::Fate::no_data:
        console_.out << fmt::format("{}: no record is published. It should be\n{}\n", name,
                                    zone_line(name, file->key.dns_record()));
        return kFailed;
      case dns::Fate::found:
        break;
    }
    return compare(name, file->key, identity, found->records);
  }

  // Of several records a verifier may take any (RFC 6376 3.6.2.2): one only is right.
  int compare(const std::string& name, const dkim::Key& key, dkim::Identity identity,
              const std::vector<std::string>& records) {
    if (records.size() > 1) {
      return told(name,
                  fmt::format("{} TXT records are published, a verifier may take any of them: "
                              "leave one",
                              records.size()),
                  kFailed);
    }
    if (const Status fine = key.check_record(records[0], identity); !fine) {
      return told(name, fine.error().message, kFailed);
    }
    console_.out << fmt::format("{}: the published key is that of the private one ({}, {} bits)\n",
                                name, key.type() == dkim::KeyType::rsa ? "RSA" : "Ed25519",
                                key.bits());
    if (dkim::is_testing(records[0])) {
      console_.err << fmt::format(
          "warning: {}: the record says t=y (testing): receivers may treat the mail as unsigned\n",
          name);
    }
    return kDone;
  }

  int told(const std::string& name, const std::string& what, int status) {
    console_.out << fmt::format("{}: {}\n", name, what);
    return status;
  }

  const DkimCheckCommand& command_;
  const Console& console_;
};

}  // namespace

int dkim_key_command(const DkimKeyCommand& command, const Console& console) {
  dkim::SignatureOptions options;
  options.domain = command.domain;
  options.selector = command.selector;
  if (const Status fine = dkim::check(options); !fine) {
    return complain(console, fine.error().message, kMistake);
  }
  const auto type = command.ed25519 ? dkim::KeyType::ed25519 : dkim::KeyType::rsa;
  const auto key = dkim::Key::generate(type, command.bits);
  if (!key) return complain(console, key.error().message, kMistake);
  if (const Status fine = write_secret(command.file, key->private_pem()); !fine) {
    return complain(console, fine.error().message, kFailed);
  }
  if (const std::string warning = key->warning(); !warning.empty()) {
    console.err << "warning: " << warning << '\n';
  }
  console.out << fmt::format(
      "The private key is in {}. Publish this record:\n\n{}\n\n"
      "When it can be seen (ringmta dkim check --key {} --domain {} --selector {}),\n"
      "put this into the configuration and run ringmta reload:\n\n"
      "[[dkim.keys]]\ndomain = \"{}\"\nselector = \"{}\"\nkey_file = \"{}\"\n",
      command.file, zone_line(record_name(options), key->dns_record()), command.file,
      command.domain, command.selector, command.domain, command.selector, command.file);
  return kDone;
}

int dkim_check_command(const DkimCheckCommand& command, const Console& console) {
  const bool by_dns = command.record.empty();
  if (!command.key_file.empty() && by_dns && (command.domain.empty() || command.selector.empty())) {
    return complain(console, "--key wants --domain and --selector, or --record", kMistake);
  }
  if (command.key_file.empty() && !by_dns && (command.domain.empty() || command.selector.empty())) {
    return complain(console, "--record wants --key, or --domain and --selector", kMistake);
  }
  return Check(command, console).run();
}

}  // namespace ringmta::cli
