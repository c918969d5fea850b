// SPDX-License-Identifier: GPL-3.0-or-later
// A client that logs in without knowing a password: it never gets in, whatever it sends, the
// challenges it gets do not tell which users there are, and the messages of SCRAM that are accepted
// are made of what they were read as.
#include <string>
#include <vector>

#include "input.h"
#include "ringmta/base/assert.h"
#include "ringmta/sasl/prepare.h"
#include "ringmta/sasl/server_exchange.h"
#include "scram_messages.h"

namespace ringmta::sasl {
namespace {

const std::shared_ptr<const Users>& users() {
  static const std::shared_ptr<const Users> table = [] {
    const std::string text =
        "!secret:AAAAAAAAAAAAAAAAAAAAAAAAAAA=\n" +
        user_line("user", make_verifier("the password of user", "sixteen octets..", 4096)) + "\n";
    std::vector<UserFault> faults;
    auto made = Users::parse(text, faults);
    RINGMTA_ASSERT(made != nullptr && faults.empty());
    return made;
  }();
  return table;
}

void play(Mechanism mechanism, bool has_first, bool matches, fuzz::Input input) {
  ServerSide side;
  side.users = users();
  side.nonce = "3rfcNHYJY1ZVvWVs7j";
  if (mechanism == Mechanism::scram_sha_256_plus) {
    side.binding = "exporter-octets";
    side.plus_offered = true;
  }
  ServerExchange exchange(mechanism, side);
  using Action = ServerExchange::Action;
  ServerExchange::Step step = exchange.begin(has_first, has_first ? input.until('\n') : "");
  for (int turns = 0; turns < 8; ++turns) {
    if (step.action == Action::verify) {
      RINGMTA_ASSERT(!exchange.password().empty() && !exchange.claimed().empty());
      // As if the password were the right one: somebody who is no user must not get in even so.
      step = exchange.verified(matches);
      if (step.action == Action::succeeded) {
        RINGMTA_ASSERT(matches && exchange.user() != nullptr && exchange.user()->name == "user");
        RINGMTA_ASSERT(exchange.claimed() == "user");
        return;
      }
      RINGMTA_ASSERT(step.action == Action::failed);
      return;
    }
    RINGMTA_ASSERT(step.action != Action::succeeded);
    if (step.action == Action::failed || input.empty()) return;
    std::string response(input.until('\n'));
    const size_t mark = response.find("NONCE");
    if (mark != std::string::npos && step.text.starts_with("r=")) {
      response.replace(mark, 5, step.text.substr(2, step.text.find(',') - 2));
    }
    step = exchange.respond(response);
  }
}

void messages(std::string_view text) {
  if (const auto first = parse_client_first(text)) {
    RINGMTA_ASSERT(std::string(first->gs2_header) + std::string(first->bare) == text);
    RINGMTA_ASSERT(is_scram_nonce(first->nonce) && !first->user.empty());
    if (const auto name = unescape_saslname(first->user)) {
      RINGMTA_ASSERT(escape_saslname(*name) == first->user);
    }
  }
  if (const auto first = parse_server_first(text)) {
    RINGMTA_ASSERT(is_scram_nonce(first->nonce) && !first->salt.empty() && first->iterations > 0);
  }
  if (const auto last = parse_client_final(text)) {
    RINGMTA_ASSERT(last->proof.size() == 32 && text.starts_with(last->without_proof));
    RINGMTA_ASSERT(text.substr(last->without_proof.size()).starts_with(",p="));
  }
  if (const auto last = parse_server_final(text)) {
    RINGMTA_ASSERT(last->error.empty() != last->signature.empty());
  }
}

// What SASLprep gives is printable, bounded, and not changed by a second time.
void prepared(std::string_view text) {
  const auto once = prepare(text);
  if (!once) return;
  RINGMTA_ASSERT(!once->empty() && once->size() <= kPreparedMax);
  for (const char c : *once) RINGMTA_ASSERT(static_cast<unsigned char>(c) >= ' ' && c != 0x7F);
  const auto twice = prepare(*once);
  RINGMTA_ASSERT(twice.has_value() && *twice == *once);
}

}  // namespace
}  // namespace ringmta::sasl

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringmta::sasl;
  ringmta::fuzz::Input input(data, size);
  const uint8_t kind = input.byte();
  constexpr Mechanism kAll[] = {Mechanism::plain, Mechanism::login, Mechanism::scram_sha_256,
                                Mechanism::scram_sha_256_plus};
  switch (kind % 3) {
    case 0:
      messages(input.rest());
      break;
    case 1:
      prepared(input.rest());
      break;
    default:
      play(kAll[kind / 4 % 4], (kind & 64) != 0, (kind & 128) != 0, input);
      break;
  }
  return 0;
}
