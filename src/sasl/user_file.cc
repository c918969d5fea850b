// SPDX-License-Identifier: GPL-3.0-or-later
// The users file: reading it, telling what is wrong with it line by line, and putting a user in.
// Nothing of an entry's keys is ever repeated in a message.
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <map>
#include <mutex>
#include <optional>

#include "ringmta/base/base64.h"
#include "ringmta/base/wipe.h"
#include "ringmta/sasl/prepare.h"
#include "ringmta/sasl/users.h"

namespace ringmta::sasl {
namespace {

constexpr std::string_view kSecretMark = "!secret:";
constexpr std::string_view kScheme = "SCRAM-SHA-256$";
constexpr std::string_view kForm =
    "expects NAME:SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY[:OPTIONS], as "
    "'ringmta password NAME' writes it";
constexpr size_t kSaltMin = 8, kSaltMax = 64;
constexpr size_t kSendersMax = 1000;
constexpr size_t kSecretMin = 16;

// Usage by user, for the life of the process.
std::shared_ptr<UserUsage> usage_of(const std::string& name) {
  static std::mutex lock;
  static std::map<std::string, std::shared_ptr<UserUsage>> known;
  const std::lock_guard guard(lock);
  std::shared_ptr<UserUsage>& usage = known[name];
  if (usage == nullptr) usage = std::make_shared<UserUsage>();
  return usage;
}

// Up to `mark`, which is taken off too; nothing: it is not there.
std::optional<std::string_view> take_until(std::string_view& text, char mark) {
  const size_t at = text.find(mark);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view piece = text.substr(0, at);
  text.remove_prefix(at + 1);
  return piece;
}

bool parse_whole(std::string_view text, uint32_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return !text.empty() && error == std::errc{} && end == text.data() + text.size();
}

bool parse_key(std::string_view text, ScramKey& key) {
  std::string octets;
  if (!append_base64_decoded(text, octets) || octets.size() != key.size()) return false;
  std::copy_n(as_bytes(octets).begin(), key.size(), key.begin());
  return true;
}

// Name and verifier of a line, whose rest is left: ":options" or nothing. Else what is wrong.
std::string_view parse_entry(std::string_view& line, std::string_view& name,
                             ScramVerifier& verifier) {
  const auto first = take_until(line, ':');
  if (!first) return kForm;
  name = *first;
  if (!is_user_name(name)) return "that is no name: it is empty, too long, or has a control in it";
  if (!line.starts_with(kScheme)) {
    return "knows SCRAM-SHA-256 only; make the entry anew by 'ringmta password NAME'";
  }
  line.remove_prefix(kScheme.size());
  const auto iterations = take_until(line, ':'), salt = take_until(line, '$');
  const auto stored = iterations && salt ? take_until(line, ':') : std::nullopt;
  if (!stored) return kForm;
  const std::string_view server = line.substr(0, line.find(':'));
  line.remove_prefix(server.size());
  if (!parse_whole(*iterations, verifier.iterations) || verifier.iterations < kIterationsMin ||
      verifier.iterations > kIterationsMax) {
    return "the number of iterations is not between 4096 and 10000000";
  }
  if (!append_base64_decoded(*salt, verifier.salt) || verifier.salt.size() < kSaltMin ||
      verifier.salt.size() > kSaltMax) {
    return "the salt is not base64 of 8 to 64 octets";
  }
  if (!parse_key(*stored, verifier.stored) || !parse_key(server, verifier.server)) {
    return "a key is not base64 of 32 octets";
  }
  return {};
}

bool is_sender_pattern(std::string_view text) {
  const size_t at = text.rfind('@');
  return at != std::string_view::npos && at + 1 < text.size() && text != "@.";
}

std::string parse_senders(std::string_view value, std::vector<std::string>& senders) {
  while (!value.empty()) {
    const std::string_view one = value.substr(0, value.find(','));
    value.remove_prefix(std::min(one.size() + 1, value.size()));
    if (!is_sender_pattern(one)) {
      return "'" + std::string(one) +
             "' is no sender: write address@domain, @domain, or @.domain for all below it too";
    }
    std::string& permitted = senders.emplace_back(one);
    for (char& c : permitted) c = ascii_lower(c);
  }
  if (senders.empty()) return "senders= needs at least one";
  return senders.size() > kSendersMax ? "has more than 1000 senders" : "";
}

std::string parse_option(std::string_view option, User& user) {
  const size_t equals = option.find('=');
  const std::string_view key = option.substr(0, equals);
  const std::string_view value =
      equals == std::string_view::npos ? std::string_view() : option.substr(equals + 1);
  if (value.empty()) return "'" + std::string(option) + "' is not KEY=VALUE";
  if (key == "tenant") {
    user.tenant = value;
    return {};
  }
  if (key == "senders") return parse_senders(value, user.senders);
  uint32_t* number = key == "sessions"            ? &user.sessions_max
                     : key == "messages_per_hour" ? &user.messages_per_hour
                                                  : nullptr;
  if (number == nullptr) {
    return "there is no option '" + std::string(key) +
           "': tenant, senders, sessions and messages_per_hour are known";
  }
  if (!parse_whole(value, *number)) return std::string(key) + "= takes a whole number";
  return {};
}

std::string_view without_return(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// Calls take(line, number) for each; the line end is not in it.
template <typename Take>
void for_each_line(std::string_view text, Take take) {
  uint32_t number = 0;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    take(without_return(line), ++number);
  }
}

bool is_remark(std::string_view line) {
  return line.find_first_not_of(" \t") == std::string_view::npos || line.front() == '#';
}

}  // namespace

bool is_user_name(std::string_view name) {
  if (name.empty() || name.size() > kUserNameMax) return false;
  if (name.front() == '#' || name.front() == '!' || name.front() == ' ') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && c != 0x7F && c != ':';
  });
}

class UsersParser final {
 public:
  explicit UsersParser(std::vector<UserFault>& faults) : faults_(faults) {}

  void take(std::string_view line, uint32_t number) {
    if (is_remark(line)) return;
    if (line.starts_with(kSecretMark)) return take_secret(line.substr(kSecretMark.size()), number);
    User user;
    std::string_view name;
    if (const std::string_view wrong = parse_entry(line, name, user.verifier); !wrong.empty()) {
      return fault(number, std::string(wrong));
    }
    const std::optional<std::string> prepared = prepare(name);
    if (!prepared) return fault(number, "the name has characters that SASLprep forbids");
    user.name = user.tenant = *prepared;
    if (!line.empty()) line.remove_prefix(1);  // the colon
    while (!line.empty()) {
      const std::string_view option = line.substr(0, line.find(' '));
      line.remove_prefix(std::min(option.size() + 1, line.size()));
      if (option.empty()) continue;
      if (std::string wrong = parse_option(option, user); !wrong.empty()) {
        return fault(number, std::move(wrong));
      }
    }
    user.usage = usage_of(user.name);
    ++iterations_[user.verifier.iterations];
    ++salts_[user.verifier.salt.size()];
    if (!users_->users_.emplace(*prepared, std::move(user)).second) {
      fault(number, "the user '" + *prepared + "' stands in the file twice");
    }
  }

  std::shared_ptr<const Users> finish() {
    if (users_->users_.size() > kUsersMax) fault(0, "has more than 100000 users");
    if (!faults_.empty()) return nullptr;
    const auto most = [](const auto& counts, auto otherwise) {
      const auto found =
          std::max_element(counts.begin(), counts.end(),
                           [](const auto& a, const auto& b) { return a.second < b.second; });
      return found == counts.end() ? otherwise : found->first;
    };
    users_->iterations_ = most(iterations_, kIterationsDefault);
    users_->salt_size_ = std::min<size_t>(most(salts_, size_t{16}), sizeof(ScramKey));
    if (!users_->has_secret_) {  // better than none; see check's warning
      static const ScramKey of_this_process = [] {
        ScramKey key{};
        static_cast<void>(getrandom(key.data(), key.size(), 0));
        return key;
      }();
      users_->secret_ = of_this_process;
    }
    return users_;
  }

 private:
  void fault(uint32_t line, std::string message) { faults_.push_back({line, std::move(message)}); }
  void take_secret(std::string_view text, uint32_t number) {
    std::string octets;
    if (!append_base64_decoded(text, octets) || octets.size() < kSecretMin) {
      return fault(number, "!secret: takes base64 of at least 16 octets");
    }
    if (users_->has_secret_) return fault(number, "there is a !secret: line already");
    users_->secret_ = scram_mac({}, octets);
    users_->has_secret_ = true;
    wipe(octets);
  }

  std::vector<UserFault>& faults_;
  std::shared_ptr<Users> users_{new Users};
  std::map<uint32_t, size_t> iterations_;
  std::map<size_t, size_t> salts_;
};

std::shared_ptr<const Users> Users::parse(std::string_view text, std::vector<UserFault>& faults) {
  UsersParser parser(faults);
  for_each_line(text, [&](std::string_view line, uint32_t number) { parser.take(line, number); });
  return parser.finish();
}

std::shared_ptr<const Users> Users::load(const std::string& path, std::vector<UserFault>& faults) {
  const auto failed = [&](std::string what) {
    faults.push_back({0, std::move(what)});
    return nullptr;
  };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failed(fail_errno("cannot be read", errno).error().message);
  struct stat facts{};
  std::string text;
  if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) {
    ::close(fd);
    return failed("is not a file");
  }
  if ((facts.st_mode & (S_IROTH | S_IWOTH | S_IWGRP)) != 0) {
    ::close(fd);
    return failed("may be read or changed by others: chmod 640 it (or 600)");
  }
  if (static_cast<uint64_t>(facts.st_size) > kUsersFileMax) {
    ::close(fd);
    return failed("is larger than 64 MiB");
  }
  text.resize(static_cast<size_t>(facts.st_size));
  size_t have = 0;
  while (have < text.size()) {
    const ssize_t got = ::read(fd, text.data() + have, text.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    have += static_cast<size_t>(got);
  }
  ::close(fd);
  if (have < text.size()) return failed("could not be read to its end");
  auto users = parse(text, faults);
  wipe(text);
  return users;
}

std::string user_line(std::string_view prepared_name, const ScramVerifier& verifier) {
  std::string line(prepared_name);
  line.append(":").append(kScheme).append(std::to_string(verifier.iterations)).append(":");
  append_base64(as_bytes(verifier.salt), line);
  line += '$';
  append_base64(verifier.stored, line);
  line += ':';
  append_base64(verifier.server, line);
  return line;
}

std::string with_user(std::string_view text, std::string_view prepared_name,
                      const ScramVerifier& verifier, std::string_view new_secret) {
  std::string made;
  bool there = false, secret = false;
  for_each_line(text, [&](std::string_view line, uint32_t) {
    std::string_view rest = line, name;
    ScramVerifier before;
    secret = secret || line.starts_with(kSecretMark);
    if (!is_remark(line) && parse_entry(rest, name, before).empty() &&
        prepare(name) == std::string(prepared_name)) {
      made.append(user_line(prepared_name, verifier)).append(rest);
      there = true;
    } else {
      made.append(line);
    }
    made += '\n';
  });
  if (!there) made.append(user_line(prepared_name, verifier)).append("\n");
  if (secret) return made;
  std::string head(kSecretMark);
  append_base64(as_bytes(new_secret), head);
  return head + "\n" + made;
}

}  // namespace ringmta::sasl
