// SPDX-License-Identifier: GPL-3.0-or-later
// `ringmta password`: an entry for the users file. The password comes from the terminal, unseen and
// asked for twice, or from the first line of standard input; never from the command line, which
// everybody on the machine can read.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <iostream>
#include <optional>
#include <sstream>

#include "commands.h"
#include "ringmta/base/wipe.h"
#include "ringmta/sasl/prepare.h"
#include "ringmta/sasl/users.h"

namespace ringmta::cli {
namespace {

constexpr size_t kSaltSize = 16, kSecretSize = 32;

// Without the terminal's echo, whatever happens in between.
class Unseen final {
 public:
  explicit Unseen(bool wanted) {
    on_ = wanted && tcgetattr(STDIN_FILENO, &before_) == 0;
    if (!on_) return;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
  }
  ~Unseen() {
    if (on_) tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }
  Unseen(const Unseen&) = delete;
  Unseen& operator=(const Unseen&) = delete;

 private:
  termios before_{};
  bool on_ = false;
};

std::string random_octets(size_t count) {
  std::string octets(count, '\0');
  if (getrandom(octets.data(), count, 0) != static_cast<ssize_t>(count)) octets.clear();
  return octets;
}

Result<std::string> ask(const Console& console) {
  const bool terminal = &console.in == &std::cin && isatty(STDIN_FILENO) != 0;
  const Unseen unseen(terminal);
  std::string password, again;
  if (terminal) console.err << "Password: " << std::flush;
  std::getline(console.in, password);
  if (password.ends_with('\r')) password.pop_back();
  if (terminal) {
    console.err << "\nOnce more: " << std::flush;
    std::getline(console.in, again);
    console.err << '\n';
    const bool same = equal_in_constant_time(password, again);
    wipe(again);
    if (!same) {
      wipe(password);
      return fail("the two are not the same");
    }
  }
  return password;
}

// A name is data of its directory: without this a power failure may bring the old file back.
Status sync_directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const int code = fd >= 0 && ::fsync(fd) == 0 ? 0 : errno;
  if (fd >= 0) ::close(fd);
  return code == 0 ? Status{} : fail_errno(directory, code);
}

// The file as a whole, under a new name first: whoever reads it meanwhile sees the old or the new.
Status replace_file(const std::string& path, const std::string& text, mode_t mode) {
  const std::string fresh = path + ".new";
  ::unlink(fresh.c_str());
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return fail_errno(fresh, errno);
  struct stat before{};
  int code = 0;
  if (::stat(path.c_str(), &before) == 0) {
    static_cast<void>(::fchown(fd, before.st_uid, before.st_gid));
    mode = before.st_mode & 07777U;
  }
  if (::fchmod(fd, mode) != 0) code = errno;
  std::string_view rest = text;
  while (code == 0 && !rest.empty()) {
    const ssize_t wrote = ::write(fd, rest.data(), rest.size());
    if (wrote < 0 && errno != EINTR) code = errno;
    if (wrote > 0) rest.remove_prefix(static_cast<size_t>(wrote));
  }
  if (code == 0 && ::fsync(fd) != 0) code = errno;
  ::close(fd);
  if (code == 0 && ::rename(fresh.c_str(), path.c_str()) != 0) code = errno;
  if (code == 0) return sync_directory_of(path);
  ::unlink(fresh.c_str());
  return fail_errno(path, code);
}

Status put_into_file(const std::string& path, const std::string& name,
                     const sasl::ScramVerifier& verifier) {
  std::string text;
  if (::access(path.c_str(), F_OK) == 0) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream content;
    content << file.rdbuf();
    if (!file) return fail(path + " cannot be read");
    text = content.str();
    std::vector<sasl::UserFault> faults;
    if (sasl::Users::parse(text, faults) == nullptr) {
      return fail(fmt::format("{}:{}: {}; nothing was written", path, faults.at(0).line,
                              faults.at(0).message));
    }
  }
  const std::string secret = random_octets(kSecretSize);
  if (secret.empty()) return fail("the system gives no random numbers");
  return replace_file(path, sasl::with_user(text, name, verifier, secret), 0640);
}

}  // namespace

int password_command(const PasswordCommand& command, const Console& console) {
  const std::optional<std::string> name = sasl::prepare(command.name);
  if (!sasl::is_user_name(command.name) || !name) {
    return complain(console,
                    "a user's name has 1 to 255 characters, no ':' and no controls, and does not "
                    "begin with '#', '!' or a blank",
                    kMistake);
  }
  Result<std::string> typed = ask(console);
  if (!typed) return complain(console, typed.error().message, kMistake);
  std::optional<std::string> password = sasl::prepare(*typed);
  wipe(*typed);
  if (!password) {
    return complain(console,
                    "the password is empty, longer than 1024 octets, or has characters that "
                    "SASLprep (RFC 4013) forbids",
                    kMistake);
  }
  const std::string salt = random_octets(kSaltSize);
  if (salt.empty()) return complain(console, "the system gives no random numbers", kFailed);
  const sasl::ScramVerifier verifier =
      sasl::make_verifier(*password, salt, static_cast<uint32_t>(command.iterations));
  wipe(*password);
  if (command.file.empty()) {
    console.out << sasl::user_line(*name, verifier) << '\n';
    return kDone;
  }
  if (const Status fine = put_into_file(command.file, *name, verifier); !fine) {
    return complain(console, fine.error().message, kFailed);
  }
  console.err << fmt::format("{} is in {}; 'ringmta reload' has the relay read it\n", *name,
                             command.file);
  return kDone;
}

}  // namespace ringmta::cli
