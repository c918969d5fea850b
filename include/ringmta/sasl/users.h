// SPDX-License-Identifier: GPL-3.0-or-later
// Who may log in: a table read from a file, never changed afterwards, shared by all shards. A
// reload makes a new one; sessions keep the one they began with as long as they need it.
//
// The insight: what SCRAM keeps of a password (salt, StoredKey, ServerKey) checks a password sent
// in the clear just as well, so there is one kind of entry for all mechanisms, and nobody who reads
// the file can log in with what stands there.
//
// The file: a line per user,
//
//   NAME:SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY[:OPTIONS]
//
// (the keys in base64; the part up to OPTIONS is what PostgreSQL and Dovecot write too). OPTIONS
// are KEY=VALUE with blanks between: tenant, senders, sessions, messages_per_hour. Lines that begin
// with
// "#" and empty ones are passed over. One line "!secret:BASE64" holds octets from which answers
// about unknown users are made (RFC 5802 has no other way to keep it secret who exists).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ringmta/base/result.h"
#include "ringmta/base/time.h"
#include "ringmta/sasl/scram.h"

namespace ringmta::sasl {

inline constexpr uint32_t kIterationsMin = 4096;        // RFC 7677 4
inline constexpr uint32_t kIterationsDefault = 65'536;  // 10 ms or so for who guesses
inline constexpr uint32_t kIterationsMax = 10'000'000;
inline constexpr size_t kUserNameMax = 255;  // octets
inline constexpr size_t kUsersMax = 100'000;
inline constexpr size_t kUsersFileMax = 64U << 20;  // octets

// What a server keeps of a password.
struct ScramVerifier {
  std::string salt;
  uint32_t iterations = kIterationsDefault;
  ScramKey stored{};
  ScramKey server{};
  bool operator==(const ScramVerifier&) const = default;
};
ScramVerifier make_verifier(std::string_view prepared_password, std::string_view salt,
                            uint32_t iterations);
// The dear way: derives. For a thread with time.
bool verify_password(std::string_view prepared_password, const ScramVerifier& verifier);

// What a user does at the moment, counted by all shards. It is the process's, not the table's: a
// reload of the users forgets nothing.
class UserUsage final {
 public:
  bool enter(uint32_t sessions_max);  // false (nothing counted): at the limit; 0: any number
  void leave() { sessions_.fetch_sub(1, std::memory_order_relaxed); }
  uint32_t sessions() const { return sessions_.load(std::memory_order_relaxed); }
  // Hours begin with the clock's.
  bool count_message(uint32_t per_hour_max, WallTime now);
  bool may_send(uint32_t per_hour_max, WallTime now) const;  // without counting

 private:
  static uint64_t hour_of(WallTime now) { return static_cast<uint64_t>(now.ms) / 3'600'000; }
  std::atomic<uint32_t> sessions_{0};
  std::atomic<uint64_t> messages_{0};  // the hour above, how many of it in the low 32 bits
};

struct User {
  std::string name;    // prepared
  std::string tenant;  // the name, unless the file says otherwise
  ScramVerifier verifier;
  // Whom the user may send as, in lower case: "a@b.example", "@b.example" (all of a domain),
  // "@.b.example" (and of what is below it). Empty: anybody. The null reverse-path is everybody's.
  std::vector<std::string> senders;
  uint32_t sessions_max = 0;       // at once, all shards together; 0: any
  uint32_t messages_per_hour = 0;  // likewise
  std::shared_ptr<UserUsage> usage;

  bool may_send_as(std::string_view reverse_path) const;
};

struct UserFault {
  uint32_t line = 0;  // 0: the file as a whole
  std::string message;
};

class Users final {
 public:
  // Every line that is wrong is told; with a fault there is no table.
  static std::shared_ptr<const Users> parse(std::string_view text, std::vector<UserFault>& faults);
  // Likewise; the file must be readable for its owner and group alone, and not writable for others.
  static std::shared_ptr<const Users> load(const std::string& path, std::vector<UserFault>& faults);

  const User* find(std::string_view prepared_name) const;
  size_t size() const { return users_.size(); }
  // For a name that nobody has: always the same for it, and unlike no user's. No password fits.
  ScramVerifier pretended(std::string_view name) const;
  bool has_secret() const { return has_secret_; }

 private:
  friend class UsersParser;
  Users() = default;
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::unordered_map<std::string, User, Hash, std::equal_to<>> users_;
  ScramKey secret_{};
  bool has_secret_ = false;
  uint32_t iterations_ = kIterationsDefault;  // what most users have
  size_t salt_size_ = 16;
};

// A line of the file, without options and line end.
std::string user_line(std::string_view prepared_name, const ScramVerifier& verifier);
// The file's text with that user's line put in or replaced (its options are kept), and a "!secret:"
// line in front if there was none.
std::string with_user(std::string_view text, std::string_view prepared_name,
                      const ScramVerifier& verifier, std::string_view new_secret);
// Nothing: the name cannot stand in the file (empty, too long, ":" or a control in it, "#" or "!"
// first).
bool is_user_name(std::string_view name);

}  // namespace ringmta::sasl
