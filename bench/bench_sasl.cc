// SPDX-License-Identifier: GPL-3.0-or-later
// What a log-in costs: the derivation that only the verifying thread does, the look at what was
// verified before, and SCRAM's share of a shard.
#include <benchmark/benchmark.h>

#include "ringmta/sasl/client_exchange.h"
#include "ringmta/sasl/credential_cache.h"
#include "ringmta/sasl/server_exchange.h"

namespace ringmta::sasl {
namespace {

constexpr std::string_view kNonce = "a nonce of enough octets";

std::shared_ptr<const Users> users() {
  std::vector<UserFault> faults;
  return Users::parse(
      user_line("alice@example.com", make_verifier("pencil", "salt of 16 octet", 4096)), faults);
}

void derivation(benchmark::State& state) {
  const auto iterations = static_cast<uint32_t>(state.range(0));
  for (auto _ : state) {
    benchmark::DoNotOptimize(derive_scram_keys("pencil", "salt of 16 octet", iterations));
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * iterations);
}
BENCHMARK(derivation)->Arg(4096)->Arg(65'536)->Unit(benchmark::kMillisecond);

// AUTH PLAIN of a user who was verified before: all that a shard does.
void plain_again(benchmark::State& state) {
  const auto table = users();
  CredentialCache cache;
  const std::string message("\0alice@example.com\0pencil", 25);
  cache.remember(CredentialCache::key_of("pencil", table->find("alice@example.com")->verifier),
                 true);
  for (auto _ : state) {
    ServerExchange exchange(
        Mechanism::plain, {.users = table, .nonce = kNonce, .binding = {}, .plus_offered = false});
    exchange.begin(true, message);
    const auto known =
        cache.find(CredentialCache::key_of(exchange.password(), exchange.verifier()));
    benchmark::DoNotOptimize(exchange.verified(known.value_or(false)));
  }
}
BENCHMARK(plain_again);

// Both sides' messages of SCRAM-SHA-256, without the client's derivation.
void scram(benchmark::State& state) {
  const auto table = users();
  const ScramKeys keys = derive_scram_keys("pencil", "salt of 16 octet", 4096);
  ClientLogin login;
  login.user = "alice@example.com";
  login.secret = "pencil";
  login.nonce = kNonce;
  for (auto _ : state) {
    ClientExchange client(Mechanism::scram_sha_256, login);
    ServerExchange server(Mechanism::scram_sha_256,
                          {.users = table, .nonce = kNonce, .binding = {}, .plus_offered = false});
    client.next(server.begin(true, client.first().text).text);
    client.next(server.respond(client.derived(keys).text).text);
    if (server.respond("").action != ServerExchange::Action::succeeded) {
      state.SkipWithError("refused");
      break;
    }
  }
}
BENCHMARK(scram);

}  // namespace
}  // namespace ringmta::sasl

BENCHMARK_MAIN();
