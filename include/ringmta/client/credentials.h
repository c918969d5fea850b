// SPDX-License-Identifier: GPL-3.0-or-later
// Passwords and tokens for next hops that want to know who we are: where they come from, and how
// long one is used.
//
// The insight: whatever gives a secret may take its time (a command that asks a token service, a
// file on a file server), and a shard may not wait for it. So one helper thread fetches, everybody
// asks again a little later, and what was fetched serves all shards until it runs out or a next hop
// refuses it. What is then fetched and is the same again is not tried at once: its number tells.
//
// Thread-safe. Secrets are wiped when they are replaced, and are never in a message, a log or an
// event; what a command writes to its standard error is not looked at.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ringmta/base/time.h"
#include "ringmta/sasl/client_exchange.h"

namespace ringmta::process {
class CommandRunner;
}

namespace ringmta::client {

// Who we are at a next hop. Exactly one of file, token file and command is given.
struct AuthOptions {
  std::string user;
  std::string password_file;               // the password is its first line
  std::string token_file;                  // likewise a bearer token, or JSON (see below)
  std::vector<std::string> token_command;  // prints one: the program and its arguments
  // A token that does not tell its lifetime is fetched anew after so long. JSON does:
  // {"access_token": "...", "expires_in": 3599}.
  Milliseconds token_lifetime = minutes(45);
  std::vector<std::string> mechanisms;  // only these, the first one offered; empty: the strongest
  bool without_tls = false;             // permission to send the secret in clear text

  bool has_token() const { return password_file.empty(); }
  bool operator==(const AuthOptions&) const = default;
};

class Credentials final {
 public:
  Credentials();
  ~Credentials();  // a command that is running is killed
  Credentials(const Credentials&) = delete;
  Credentials& operator=(const Credentials&) = delete;

  // Before the first question; outlives this. Without it commands are run by this process.
  void run_commands_by(process::CommandRunner& runner);

  struct Answer {
    enum class State : uint8_t { there, fetching, failed } state = State::fetching;
    std::string secret;   // the caller wipes it
    uint64_t number = 0;  // of this secret, for refused()
    std::string problem;  // failed: why, for an operator
  };
  // Never blocks on anything but another caller's look.
  Answer secret(const AuthOptions& source);
  // A next hop did not like it: it is fetched anew. The same number again means that it is the
  // same.
  void refused(const AuthOptions& source, uint64_t number);
  // Everything is fetched anew when it is asked for next.
  void forget();

  // SCRAM's derivation, milliseconds of it; the last one of each user is kept. Null: not yet.
  std::unique_ptr<sasl::ScramKeys> keys(const sasl::ScramWork& work);
  bool idle() const;  // nothing is being fetched or derived

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ringmta::client
