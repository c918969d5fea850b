// SPDX-License-Identifier: GPL-3.0-or-later
// The system calls are made by number and newer rights are written out here: Debian 12's headers
// know version 2 of the interface, kernels in use are further.
#include "ringmta/process/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "ringmta/base/descriptor.h"

namespace ringmta::process {
namespace {

constexpr uint64_t kTruncate = 1ULL << 14;      // version 3
constexpr uint64_t kIoctlDevice = 1ULL << 15;   // version 5
constexpr uint64_t kBindTcp = 1ULL << 0;        // version 4, of net
constexpr uint64_t kScopeAbstract = 1ULL << 0;  // version 6, of scopes
constexpr uint64_t kScopeSignal = 1ULL << 1;
constexpr int kRuleNetPort = 2;

struct RulesetAttributes {
  uint64_t files = 0;
  uint64_t net = 0;
  uint64_t scopes = 0;
};
struct PortAttributes {
  uint64_t allowed = 0;
  uint64_t port = 0;
};

constexpr uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr uint64_t kChange = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                             LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
                             LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK;
// Handled, and given to nobody.
constexpr uint64_t kNever = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                            LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
                            LANDLOCK_ACCESS_FS_MAKE_SYM;
constexpr uint64_t kForFiles =
    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | kTruncate;

// systemd's socket may have an abstract name, which the scope would put out of reach.
bool notifies_by_abstract_socket() {
  const char* name = std::getenv("NOTIFY_SOCKET");
  return name != nullptr && name[0] == '@';
}

RulesetAttributes handled_by(int abi) {
  RulesetAttributes handled;
  handled.files = kRead | kChange | kNever;
  if (abi >= 2) handled.files |= LANDLOCK_ACCESS_FS_REFER;
  if (abi >= 3) handled.files |= kTruncate;
  if (abi >= 4) handled.net = kBindTcp;
  if (abi >= 5) handled.files |= kIoctlDevice;
  if (abi >= 6) handled.scopes = kScopeSignal;
  if (abi >= 6 && !notifies_by_abstract_socket()) handled.scopes |= kScopeAbstract;
  return handled;
}

Status allow(int ruleset, const std::string& path, uint64_t rights) {
  const Descriptor parent(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (parent.get() < 0) return {};  // there is none, or its directory is closed to us anyway
  struct stat about{};
  if (::fstat(parent.get(), &about) != 0) return fail_errno("cannot look at " + path, errno);
  landlock_path_beneath_attr rule{};
  rule.allowed_access = S_ISDIR(about.st_mode) ? rights : rights & kForFiles;
  rule.parent_fd = parent.get();
  if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
    return fail_errno("Landlock takes no rule for " + path, errno);
  }
  return {};
}

}  // namespace

int landlock_abi() {
  const long version =
      syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return version > 0 ? static_cast<int>(version) : 0;
}

Result<int> restrict_files(const FileRules& rules) {
  const int abi = landlock_abi();
  if (abi == 0) return fail_errno("this kernel has no Landlock", errno);
  const RulesetAttributes handled = handled_by(abi);
  const size_t size = abi >= 6 ? sizeof handled : abi >= 4 ? 16 : 8;
  const Descriptor ruleset(
      static_cast<int>(syscall(SYS_landlock_create_ruleset, &handled, size, 0)));
  if (ruleset.get() < 0) return fail_errno("Landlock makes no set of rules", errno);
  for (const std::string& path : rules.read) {
    if (Status fine = allow(ruleset.get(), path, kRead); !fine)
      return std::unexpected(fine.error());
  }
  const uint64_t all = (kRead | kChange | LANDLOCK_ACCESS_FS_REFER | kTruncate) & handled.files;
  for (const std::string& path : rules.write) {
    if (Status fine = allow(ruleset.get(), path, all); !fine) return std::unexpected(fine.error());
  }
  if (handled.net != 0) {  // port 0: one of the kernel's choice, for connections from an address
    const PortAttributes any{kBindTcp, 0};
    if (syscall(SYS_landlock_add_rule, ruleset.get(), kRuleNetPort, &any, 0) != 0 &&
        errno != EAFNOSUPPORT) {
      return fail_errno("Landlock takes no rule for TCP ports", errno);
    }
  }
  if (syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) {
    return fail_errno("Landlock cannot be put in force", errno);
  }
  return abi;
}

std::vector<std::string> directories_of(const std::string& file) {
  const auto directory = [](const std::string& path) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return std::string(".");
    return slash == 0 ? path : path.substr(0, slash);
  };
  std::vector<std::string> found{directory(file)};
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(file.c_str(), nullptr),
                                                         &std::free);
  if (real != nullptr) {
    std::string other = directory(real.get());
    if (other != found.front()) found.push_back(std::move(other));
  }
  return found;
}

}  // namespace ringmta::process
