// SPDX-License-Identifier: GPL-3.0-or-later
// What TLS costs each side: a handshake (full with RSA or ECDSA, resumed), and records. Time is
// that of the side named, on one core; the other side's work is left out. RINGMTA_CERTIFICATES
// names the directory that tests/tls/make_certificates.py made.
#include <benchmark/benchmark.h>
#include <time.h>

#include <chrono>
#include <cstdlib>
#include <string>

#include "../tests/tls/material.h"
#include "ringmta/tls/session.h"

namespace {

using namespace ringmta;
using namespace ringmta::tls;

// Processor time of this thread, so that a busy machine does not count.
struct Clock {
  using duration = std::chrono::nanoseconds;
  static duration now() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  }
};

constexpr Peer kPeer{.name = "mail.example.com", .verification = Verification::full, .scope = ""};

// Two contexts, and the time each side has spent.
struct World {
  std::shared_ptr<ServerContext> server;
  std::shared_ptr<ClientContext> client;
  Clock::duration server_time{};
  Clock::duration client_time{};

  World(const char* certificate, bool resuming) {
    ServerOptions options;
    options.certificates = {certificate_text(certificate)};
    server = *ServerContext::create(options);
    ClientOptions client_options;
    client_options.roots_pem = text_of("root.pem");
    client_options.sessions_max = resuming ? 10 : 0;
    client = *ClientContext::create(client_options);
    if (!resuming) return;
    TicketKeys keys;
    keys.rotate();
    server->set_ticket_keys(keys);
  }
};

struct Pair {
  World& world;
  Session client;
  Session server;
  std::string wire;

  explicit Pair(World& in) : world(in), client(make_client(in)), server(make_server(in)) {}
  static Session make_client(World& in) {
    const auto begin = Clock::now();
    Session session(in.client, kPeer);
    in.client_time += Clock::now() - begin;
    return session;
  }
  static Session make_server(World& in) {
    const auto begin = Clock::now();
    Session session(in.server);
    in.server_time += Clock::now() - begin;
    return session;
  }

  static void run(Session& session, Bytes input, Clock::duration& time) {
    const auto begin = Clock::now();
    while (true) {
      const Session::Step step = session.step(input);
      input = input.subspan(step.consumed);
      if (step.action == Session::Action::failed) std::abort();
      if (step.action == Session::Action::more) break;
    }
    time += Clock::now() - begin;
  }
  void handshake() {
    run(client, {}, world.client_time);
    while (client.has_output() || server.has_output()) {
      wire.clear();
      client.take_output(wire);
      run(server, as_bytes(wire), world.server_time);
      wire.clear();
      server.take_output(wire);
      run(client, as_bytes(wire), world.client_time);
    }
    if (!client.handshaken() || !server.handshaken()) std::abort();
  }
};

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

void handshake(benchmark::State& state, const char* certificate, bool resuming, bool of_server) {
  World world(certificate, resuming);
  Pair(world).handshake();
  for (auto _ : state) {
    world.server_time = world.client_time = {};
    Pair pair(world);
    pair.handshake();
    if (pair.client.facts().resumed != resuming) std::abort();
    state.SetIterationTime(seconds(of_server ? world.server_time : world.client_time));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(handshake, server_rsa, "mail_rsa", false, true)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(handshake, server_ecdsa, "mail_ecdsa", false, true)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(handshake, server_resumed, "mail_rsa", true, true)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(handshake, client_rsa, "mail_rsa", false, false)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(handshake, client_ecdsa, "mail_ecdsa", false, false)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(handshake, client_resumed, "mail_rsa", true, false)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

// Sealing (client) or opening (server) plaintext of so many octets.
void records(benchmark::State& state, bool open) {
  World world("mail_ecdsa", false);
  Pair pair(world);
  pair.handshake();
  const std::string text(static_cast<size_t>(state.range(0)), 'x');
  std::string wire;
  for (auto _ : state) {
    wire.clear();
    const auto begin = Clock::now();
    if (!pair.client.write(as_bytes(text))) std::abort();
    pair.client.take_output(wire);
    const auto between = Clock::now();
    Pair::run(pair.server, as_bytes(wire), world.server_time);
    const auto end = Clock::now();
    state.SetIterationTime(seconds(open ? end - between : between - begin));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK_CAPTURE(records, seal, false)
    ->UseManualTime()
    ->Arg(64)
    ->Arg(1024)
    ->Arg(16'384)
    ->Arg(102'400);
BENCHMARK_CAPTURE(records, open, true)
    ->UseManualTime()
    ->Arg(64)
    ->Arg(1024)
    ->Arg(16'384)
    ->Arg(102'400);

}  // namespace

BENCHMARK_MAIN();
