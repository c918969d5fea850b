// SPDX-License-Identifier: GPL-3.0-or-later
// Authentication towards a next hop: a server that does not know the password never satisfies
// SCRAM, no challenge gets the password out of it, and what the operator is told is printable and
// has no secret in it. The first octet chooses the mechanism, each line is a challenge.
#include <string>

#include "input.h"
#include "ringmta/base/assert.h"
#include "ringmta/base/base64.h"
#include "ringmta/sasl/client_exchange.h"
#include "scram_messages.h"

namespace ringmta::sasl {
namespace {

constexpr std::string_view kSecret = "a-secret-nobody-else-has";

void check_told(std::string_view text) {
  for (const char c : text) RINGMTA_ASSERT(c >= ' ' && c <= '~');
  RINGMTA_ASSERT(text.find(kSecret) == std::string_view::npos);
}

void play(Mechanism mechanism, fuzz::Input input) {
  ClientLogin login;
  login.user = "u,=ser";
  login.secret = kSecret;
  login.nonce = "fyko+d2lbbFgONRv9qkxdawL";
  login.host = "mx.example";
  if (mechanism == Mechanism::scram_sha_256_plus) login.binding = "exporter-octets";
  ClientExchange exchange(mechanism, login);
  using Action = ClientExchange::Action;
  ClientExchange::Step step{};
  if (exchange.has_first()) step = exchange.first();
  RINGMTA_ASSERT(step.action != Action::failed);
  for (int turns = 0; turns < 8 && !input.empty(); ++turns) {
    std::string challenge(input.until('\n'));
    // Half of the challenges of a server that has seen the client's nonce begin with it.
    const size_t mark = challenge.find("NONCE");
    std::string ours;
    append_base64(as_bytes(login.nonce), ours);
    if (mark != std::string::npos) challenge.replace(mark, 5, ours);
    step = exchange.next(challenge);
    if (step.action == Action::derive) {
      RINGMTA_ASSERT(exchange.work().iterations >= kClientIterationsMin &&
                     exchange.work().iterations <= kClientIterationsMax);
      // The true derivation with fewer iterations: which keys they are does not matter to a server
      // that does not know them.
      step = exchange.derived(derive_scram_keys(exchange.work().password, exchange.work().salt, 1));
      RINGMTA_ASSERT(step.action == Action::respond);
    }
    check_told(exchange.explanation());
    if (step.action == Action::failed) {
      check_told(step.text);
      RINGMTA_ASSERT(!exchange.finish().empty());
      return;
    }
    if (is_scram(mechanism)) RINGMTA_ASSERT(step.text.find(kSecret) == std::string_view::npos);
  }
  const std::string_view verdict = exchange.finish();
  check_told(verdict);
  if (is_scram(mechanism)) RINGMTA_ASSERT(!verdict.empty());
}

}  // namespace
}  // namespace ringmta::sasl

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringmta::sasl;
  ringmta::fuzz::Input input(data, size);
  constexpr Mechanism kAll[] = {Mechanism::plain,         Mechanism::login,
                                Mechanism::scram_sha_256, Mechanism::scram_sha_256_plus,
                                Mechanism::xoauth2,       Mechanism::oauthbearer};
  play(kAll[input.byte() % 6], input);
  return 0;
}
